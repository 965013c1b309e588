"""What goes on below the routes: requests that are no HTTP at all, and clients that hang up while nobody reads.

aiohttp would answer the first with plain text and log a stack trace at every port scan. The second it does not notice:
where a client has sent more requests, or more of a body, behind the one that waits than is taken in advance, nothing
is read from its connection, not even its end. Give the application to `ProblemRunner` in place of aiohttp's own runner.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, Final

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from fanout_app.web.problems import Fault, invalid

#: What reading a body raises when the client has sent something else than it announced.
UNREADABLE: Final = (HttpProcessingError, web.RequestPayloadError, aiohttp.ClientPayloadError)
#: Seconds between two looks at a connection that is not read from.
_LOOK_EVERY: Final = 1.0
#: The state of TCP_INFO (Linux) in which neither end has closed; elsewhere nobody can tell without reading.
_ESTABLISHED: Final = b"\x01"
_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
_log = logging.getLogger(__name__)


def has_hung_up(transport: asyncio.BaseTransport) -> bool:
    """Whether the client has closed a connection that is not read from at the moment."""
    if _TCP_INFO is None or transport.is_closing():
        return transport.is_closing()
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    return bool(connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1) != _ESTABLISHED)


class _Connection(RequestHandler):
    __slots__ = ("_next_look",)

    _next_look: asyncio.TimerHandle | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._next_look = None
        super().__init__(*args, **kwargs)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_looking()
        super().connection_lost(exc)

    def _pause_transport_reading(self) -> None:
        super()._pause_transport_reading()
        if self._next_look is None:
            self._next_look = self._loop.call_later(_LOOK_EVERY, self._look)

    def _resume_transport_reading(self) -> None:
        self._stop_looking()
        super()._resume_transport_reading()

    def _stop_looking(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def _look(self) -> None:
        self._next_look = None
        transport = self.transport
        if transport is None:
            return
        if has_hung_up(transport):
            transport.abort()
        else:
            self._next_look = self._loop.call_later(_LOOK_EVERY, self._look)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        # The first line says what is wrong, the others quote the request.
        reason = (message or exc.message or "is not HTTP").partition("\n")[0].rstrip(":")
        _log.debug("no HTTP from %s: %s", request.remote, reason)
        return invalid([Fault("request", f"is not HTTP as it should be ({reason})")]).response()

    def log_exception(self, *args: Any, **kw: Any) -> None:
        if isinstance(kw.get("exc_info"), UNREADABLE):
            # The rest of a body that is broken, skipped after its answer: no fault of ours.
            _log.debug(*args, **kw)
        else:
            super().log_exception(*args, **kw)


class _Server(web.Server):
    def __call__(self) -> _Connection:
        return _Connection(self, loop=self._loop, **self._kwargs)


class ProblemRunner(web.AppRunner):
    """aiohttp's runner of applications, with our connections."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
