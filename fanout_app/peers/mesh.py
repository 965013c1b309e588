"""Keeps one connection to each other worker: the one whose name comes first calls, the other one is called."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping

import aiohttp
from aiohttp import web

from fanout_app.cluster.ports import PeerListener
from fanout_app.peers.handshake import SEAL_HEADER, TIME_HEADER, Handshake, RefusedError, WrongTimeError
from fanout_app.peers.link import HEARTBEAT, Link
from fanout_app.tasks import Tasks

logger = logging.getLogger("fanout.peers.mesh")

#: Seconds between two looks at who is there, and between two calls to one that does not answer.
_LOOK_EVERY = 0.1
_CALL_AGAIN = 0.5
_CALL_FOR = 3.0


class Mesh:
    """The connections of one worker."""

    def __init__(
        self,
        me: str,
        handshake: Handshake,
        listener: PeerListener,
        addresses: Callable[[], Mapping[str, str]],
        tasks: Tasks,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        """``addresses`` are those of the other workers that are there, by their names. ``tls`` is asked with each call
        whom to trust where one serves HTTPS; without, it is those whom this system trusts.
        """
        self._me = me
        self._handshake = handshake
        self._listener = listener
        self._addresses = addresses
        self._tasks = tasks
        self._tls = tls
        #: What was said of workers that are not to be trusted, by their names.
        self._untrusted: dict[str, str] = {}
        self._links: dict[str, Link] = {}
        self._calls: dict[str, asyncio.Task[None]] = {}

    async def keep(self) -> None:
        """Call whoever is there and not connected. Runs until it is cancelled."""
        timeout = aiohttp.ClientTimeout(total=None, connect=_CALL_FOR)
        # Without aiohttp's limit of 100 connections, which these keep for good: the 101st would never be made.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
            while True:
                for name, address in self._addresses().items():
                    if self._me < name and name not in self._calls:
                        call = self._tasks.start(self._call(session, name, address), f"call-{name}")
                        self._calls[name] = call
                        call.add_done_callback(lambda _, name=name: self._calls.pop(name, None))  # type: ignore[misc]
                await asyncio.sleep(_LOOK_EVERY)

    async def _call(self, session: aiohttp.ClientSession, name: str, address: str) -> None:
        path, seal = self._handshake.call(name)
        try:
            async with session.ws_connect(
                address + path,
                headers={SEAL_HEADER: seal},
                heartbeat=HEARTBEAT,
                max_msg_size=0,
                ssl=self._tls() or True,
            ) as socket:
                self._untrusted.pop(name, None)
                proof = await socket.receive_bytes(timeout=_CALL_FOR)
                if not self._handshake.answered(path, proof):
                    raise RefusedError(f"what answers at {address} is no worker of ours")
                await self._run(Link(name, socket))
        except aiohttp.WSServerHandshakeError as refused:
            self._refused(name, path, refused)
        except aiohttp.ClientConnectorCertificateError as error:
            self._distrust(name, f"{address} ({' '.join(str(error.certificate_error).split())})")
        except (aiohttp.ClientError, ConnectionError, TimeoutError, TypeError, RefusedError) as error:
            logger.debug("worker %s at %s cannot be reached: %r", name, address, error)
        await asyncio.sleep(_CALL_AGAIN)

    def _refused(self, name: str, path: str, refused: aiohttp.WSServerHandshakeError) -> None:
        """It may be for our clock, which the next call takes into account."""
        headers: Mapping[str, str] = refused.headers or {}
        ahead = self._handshake.correct(name, path, headers.get(TIME_HEADER, ""), headers.get(SEAL_HEADER, ""))
        if ahead is None:
            logger.debug("worker %s has refused a call: %r", name, refused)
        else:
            logger.warning("the clock of worker %s is %.0f s %s: all goes on by each one's own, and what is shown as a "
                           "time is wrong: set the clocks right",
                           name, abs(ahead), "ahead of ours" if ahead > 0 else "behind ours")  # fmt: skip

    def _distrust(self, name: str, why: str) -> None:
        if self._untrusted.get(name) != why:
            logger.warning("worker %s is not connected to, its certificate is not to be trusted: %s; see that "
                           "--peer-ca has signed it and that it names that address",
                           name, why)  # fmt: skip
        self._untrusted[name] = why

    async def accept(self, request: web.Request) -> web.StreamResponse:
        """A call of another worker; lasts as long as the connection does."""
        try:
            caller = self._handshake.check(request.method, request.path_qs, request.headers.get(SEAL_HEADER, ""))
        except WrongTimeError as error:
            logger.debug("a call from %s is to be made again: %s", request.remote, error)
            now, seal = self._handshake.time_here(request.path_qs)
            raise web.HTTPForbidden(
                text="call again by the clock of this worker", headers={TIME_HEADER: now, SEAL_HEADER: seal}
            ) from None
        except RefusedError as error:
            logger.warning("a call to %s from %s was refused: %s", request.path, request.remote, error)
            raise web.HTTPForbidden(text="only workers of this id and topic are served here") from None
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=0, compress=False)
        await socket.prepare(request)
        await socket.send_bytes(self._handshake.answer(request.path_qs))
        await self._run(Link(caller, socket))
        return socket

    async def _run(self, link: Link) -> None:
        """Until it ends. One that comes again has lost the connection that is here still."""
        before = self._links.get(link.name)
        if before is not None:
            before.drop()
        self._links[link.name] = link
        try:
            await link.run(self._listener)
        finally:
            if self._links.get(link.name) is link:
                del self._links[link.name]
