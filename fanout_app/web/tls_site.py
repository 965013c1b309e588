"""Takes connections with TLS: shakes hands with whoever comes, within the limits of who has asked for something.

The loops' own servers know no limit here. Whoever connects and says nothing would hold a file for a minute without
counting among the connections, and what speaks plain HTTP would be hung up on without a word.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from aiohttp import web

from fanout_app.web.problems import plain
from fanout_app.web.protocol import MOST_TURNED_AWAY
from fanout_app.web.runner import ProblemRunner

_log = logging.getLogger("fanout.web.tls")

#: The first byte of whoever shakes hands (a record of the type `handshake`).
_HANDSHAKE: Final = b"\x16"
#: Connections that are taken in a row while everything else waits.
_AT_ONCE: Final = 100
#: Seconds before connections are taken again, where the system has let us have none.
_PAUSE: Final = 1.0
#: Seconds in which an answer to plain HTTP has to be taken.
_PLAIN_FOR: Final = 1.0
_READ: Final = 64 << 10
#: Seconds that a handshake has at least which began with the last of its time.
_SHORTEST: Final = 0.1


def _plain_answer() -> bytes:
    answer = plain(400, "this port serves HTTPS: ask for the same at https://")
    body = answer.body
    assert isinstance(body, bytes)
    fields = {**answer.headers, "Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 400 Bad Request\r\n{head}\r\n".encode() + body


_PLAIN: Final = _plain_answer()


class _Entry:
    """Who has connected, up to where hands are shaken. It has a place as one that asks for nothing, if it has one."""

    def __init__(self, connection: socket.socket) -> None:
        #: None once the loop has it, which closes it then.
        self.connection: socket.socket | None = connection
        self.task: asyncio.Task[None]

    def force_close(self) -> None:
        """Its place is for somebody else."""
        self.task.cancel()


class TlsSite(web.BaseSite):
    """aiohttp's site for a socket that listens, with TLS."""

    def __init__(
        self, runner: ProblemRunner, listener: socket.socket, context: Callable[[], ssl.SSLContext | None]
    ) -> None:
        """``context`` is asked with each connection."""
        super().__init__(runner)
        self._problem_runner = runner
        self._listener = listener
        self._context = context
        self._limits = runner.limits
        self._places = runner.places
        self._entries: set[_Entry] = set()
        self._without_place: set[_Entry] = set()
        self._again: asyncio.TimerHandle | None = None
        self._refused = False

    @property
    def name(self) -> str:
        return str(self._listener.getsockname())

    async def start(self) -> None:
        await super().start()
        self._loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    async def stop(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        tasks = [entry.task for entry in self._entries]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().stop()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # No more files, most likely: whoever waits is taken once there are some again.
                if not self._refused:
                    _log.error("no connection can be taken at the moment: %s", error)
                self._refused = True
                self._loop.remove_reader(self._listener)
                self._again = self._loop.call_later(_PAUSE, self._accept_again)
                return
            self._refused = False
            connection.setblocking(False)
            self._enter(connection)

    def _accept_again(self) -> None:
        self._again = None
        self._loop.add_reader(self._listener, self._accept)

    # One connection --------------------------------------------------------------------------------------------------

    def _enter(self, connection: socket.socket) -> None:
        entry = _Entry(connection)
        try:
            gone = self._places.take(entry)
        except LookupError:
            if len(self._without_place) >= MOST_TURNED_AWAY:
                connection.close()
                return
            self._without_place.add(entry)
        else:
            if gone is not None:
                gone.force_close()
        self._entries.add(entry)
        entry.task = self._loop.create_task(self._shake_hands(entry, connection), name="tls-handshake")
        # It may be ended before it has begun.
        entry.task.add_done_callback(lambda _: self._over(entry))

    async def _shake_hands(self, entry: _Entry, connection: socket.socket) -> None:
        try:
            deadline = self._loop.time() + self._limits.request_timeout
            async with asyncio.timeout_at(deadline):
                first = await self._first_byte(connection)
            if first == _HANDSHAKE:
                entry.connection = None
                await self._loop.connect_accepted_socket(
                    lambda: self._problem_runner.entering(lambda: self._leave(entry)),
                    connection,
                    ssl=self._context(),
                    ssl_handshake_timeout=max(deadline - self._loop.time(), _SHORTEST),
                    ssl_shutdown_timeout=self._limits.answer_timeout,
                )
            elif first.isalpha():
                async with asyncio.timeout(_PLAIN_FOR):
                    await self._refuse_plain(connection)
        except (OSError, TimeoutError) as error:
            # Whoever scans ports is no news, and a client knows by itself what it objects to.
            _log.debug("no TLS from a client: %r", error)

    def _over(self, entry: _Entry) -> None:
        self._leave(entry)
        if entry.connection is not None:
            entry.connection.close()

    def _leave(self, entry: _Entry) -> None:
        """It is one of aiohttp's connections from here on, or none at all."""
        self._entries.discard(entry)
        self._without_place.discard(entry)
        self._places.leave(entry)

    async def _first_byte(self, connection: socket.socket) -> bytes:
        """What it begins with, left to be read; nothing where it has ended."""
        readable = asyncio.Event()
        self._loop.add_reader(connection, readable.set)
        try:
            await readable.wait()
        finally:
            self._loop.remove_reader(connection)
        return connection.recv(1, socket.MSG_PEEK)

    async def _refuse_plain(self, connection: socket.socket) -> None:
        await self._loop.sock_recv(connection, _READ)  # an answer to what was not read could be lost with it
        await self._loop.sock_sendall(connection, _PLAIN)
        connection.shutdown(socket.SHUT_WR)
        while await self._loop.sock_recv(connection, _READ):
            pass
