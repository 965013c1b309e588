"""A way to a server that can be cut, as a network is: what is under way waits, nothing is closed, nobody is told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

_CHUNK = 1 << 16


class Cable:
    """Listens on a port of its own and passes on what it gets, both ways."""

    def __init__(self, server: str) -> None:
        self._host, _, port = server.rpartition(":")
        self._port = int(port)
        self._whole = asyncio.Event()
        self._whole.set()
        self._ends: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        #: Where it is to be reached instead of the server.
        self.address = ""

    @classmethod
    @asynccontextmanager
    async def to(cls, server: str) -> AsyncIterator[Self]:
        """A cable to ``HOST:PORT``."""
        cable = cls(server)
        listening = await asyncio.start_server(cable._connected, "127.0.0.1", 0)
        host, port = listening.sockets[0].getsockname()[:2]
        cable.address = f"{host}:{port}"
        try:
            yield cable
        finally:
            listening.close()
            for end in list(cable._ends):
                end.cancel()
            await asyncio.gather(*cable._ends, return_exceptions=True)

    def cut(self) -> None:
        """From now on nothing gets through; connections stay open, and new ones are made and lead nowhere."""
        self._whole.clear()

    def mend(self) -> None:
        """What waited goes on its way."""
        self._whole.set()

    def reset(self) -> None:
        """Break every connection as the system of a killed process does, without a goodbye."""
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.create_task(self._carry(reader, writer))
        self._ends.add(task)
        task.add_done_callback(lambda _: self._writers.discard(writer))
        task.add_done_callback(self._ends.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._whole.wait()
            with suppress(OSError):
                there, back = await asyncio.open_connection(self._host, self._port)
                try:
                    async with asyncio.TaskGroup() as ways:
                        ways.create_task(self._pass_on(reader, back))
                        ways.create_task(self._pass_on(there, writer))
                finally:
                    back.close()
        except* OSError:
            pass  # one of the two has hung up, and so does this end
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._whole.wait()
            writer.write(data)
            await writer.drain()
        await self._whole.wait()
        raise ConnectionResetError  # closed here: closed there
