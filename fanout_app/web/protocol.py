"""Requests that are no HTTP at all, answered as problems too: no route is ever asked about them.

aiohttp would answer with plain text and log a stack trace at every port scan. Give the application to `ProblemRunner`
in place of aiohttp's own runner.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from fanout_app.web.problems import Fault, invalid

#: What reading a body raises when the client has sent something else than it announced.
UNREADABLE: Final = (HttpProcessingError, web.RequestPayloadError, aiohttp.ClientPayloadError)
_log = logging.getLogger(__name__)


class _Connection(RequestHandler):
    __slots__ = ()

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
