"""What goes on below the routes: requests that are no HTTP at all, or never come to an end, and clients that hang up
while nobody reads, or never read.

aiohttp would answer the first with plain text and log a stack trace at every port scan, and wait for the second for
ever. The third it does not notice: where a client has sent more requests, or more of a body, behind the one that waits
than is taken in advance, nothing is read from its connection, not even its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import aiohttp
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from fanout_app.web.broken import UNREADABLE, TooSlowError, has_hung_up
from fanout_app.web.known import RAW_HEAD, Heads, KnownRequest, head_in
from fanout_app.web.pieces import InPieces
from fanout_app.web.places import Placed, Places
from fanout_app.web.problems import Fault, invalid, plain
from fanout_app.web.serving_limits import ServingLimits
from fanout_app.web.unsent import Unsent

#: Seconds between two looks at a connection that is not read from.
_LOOK_EVERY: Final = 1.0
#: How many of those that found no place are answered so at once; further ones are hung up on.
MOST_TURNED_AWAY: Final = 100
#: Seconds in which they have to ask for something.
_ASK_WITHIN: Final = 1.0
_log = logging.getLogger(__name__)


class _Connection(RequestHandler):
    __slots__ = (
        "_aligned", "_body", "_head_is_due", "_made", "_next_look", "_on_made", "_prompt", "_server", "_to_learn",
        "_turned_away", "_unsent",
    )  # fmt: skip

    _next_look: asyncio.TimerHandle | None

    def __init__(self, server: Server, on_made: Callable[[], None] | None = None, **kwargs: Any) -> None:
        self._server = server
        #: Of a connection with TLS: hands are shaken.
        self._on_made = on_made
        self._next_look = None
        self._head_is_due: asyncio.TimerHandle | None = None
        #: Of the last request whose head has come.
        self._body: aiohttp.StreamReader = EMPTY_PAYLOAD
        #: It has found no place: it is told so and closed.
        self._turned_away = False
        #: What comes next is the beginning of a request.
        self._aligned = True
        #: The head of the request that is being answered, if it was read whole.
        self._to_learn: bytes | None = None
        #: The last request that was begun without a task, until it has its answer.
        self._prompt: KnownRequest | None = None
        super().__init__(server, **kwargs)
        self._made = self._request_factory
        self._request_factory = self._request
        self._unsent = Unsent(self._loop, server.limits.answer_timeout)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._on_made is not None:
            self._on_made()
            transport = InPieces(transport)
        super().connection_made(transport)
        end = self.transport
        assert end is not None
        assert self._task_handler is not None
        # A connection that is closed stays open until all of its answers have left, however its client reads them.
        self._task_handler.add_done_callback(lambda _: self._unsent.watch(end))
        try:
            gone = self._server.places.take(self)
        except LookupError:
            self._turn_away()
        else:
            if gone is not None:
                gone.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_looking()
        self._stop_waiting()
        self._unsent.forget()
        self._server.places.leave(self)
        self._server.turned_away.discard(self)
        if self._prompt is not None:
            self._prompt.abandon()
        super().connection_lost(exc)

    def close(self) -> None:
        # From here on nothing is read. A connection between workers is ended later, see `ProblemRunner`.
        if not self._upgraded:
            self._interrupt()
            super().close()

    # No place for it -------------------------------------------------------------------------------------------------

    def _turn_away(self) -> None:
        self._turned_away = True
        if len(self._server.turned_away) < MOST_TURNED_AWAY:
            self._server.turned_away.add(self)
            self._head_is_due = self._loop.call_later(_ASK_WITHIN, self.force_close)
        else:
            assert self.transport is not None
            self.transport.abort()

    async def _no_place(self, request: web.BaseRequest) -> web.StreamResponse:
        most = self._server.places.most
        response = plain(503, f"{most} connections are open at this worker already: come again later, or ask another")
        response.force_close()
        return response

    # What is to come of a request ------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._force_close or self._close:
            return
        self._interrupt()
        if self._aligned and self._is_known(data):
            return
        before, body_has_come = self._request_count, self._body.is_eof()
        super().data_received(data)
        if data:  # else aiohttp looks again at what it has kept
            self._aligned = self._aligned and self._was_one(data, before)
        if self._request_count != before:
            self._stop_waiting()
            self._body = self._messages[-1][1]
            self._server.places.busy(self)
        elif body_has_come and data and not self._upgraded and self._head_is_due is None:
            self._await_head()

    def _is_known(self, data: bytes) -> bool:
        """Whether this is a request whose head is known: then it waits to be answered with the others."""
        if self._turned_away or len(self._messages) + 1 >= self._max_msg_queue_size:
            return False  # aiohttp reads no further once so many wait
        found = self._server.heads.find(data)
        if found is None:
            return False
        self._stop_waiting()
        self._server.places.busy(self)
        known = KnownRequest(self, *found)
        if self._messages or self._waiter is None or self._waiter.done() or not self._begin(known):
            self.queue(known)
        return True

    def queue(self, request: KnownRequest) -> None:
        message: Any = request  # aiohttp only hands it on to `_request`
        self._messages.append((message, EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Without a task: what aiohttp does around an answer --------------------------------------------------------------

    def _begin(self, known: KnownRequest) -> bool:
        """Answer a request before which there is none, as far as that goes without a task. False: nothing was done."""
        self._prompt = known
        if known.begin():
            return True
        self._prompt = None
        return False

    def _interrupt(self) -> None:
        """Let aiohttp's loop have what was begun without it."""
        if self._prompt is not None and not self._prompt.in_task:
            self._prompt.interrupt()

    def answered(self) -> None:
        self._prompt = None
        if self._manager is not None:
            self._manager.requests_count += 1
        self._server.places.idle(self)
        self._next_keepalive_close_time = closes = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(closes, self._process_keepalive)

    def _process_keepalive(self) -> None:
        self._interrupt()  # it would be closed as one on which nothing is asked
        super()._process_keepalive()

    def _was_one(self, data: bytes, before: int) -> bool:
        """Whether that was one request from its beginning to its end: its head may be learnt."""
        if self._request_count != before + 1 or self._upgraded or not self._messages:
            return False
        message, body = self._messages[-1]
        if isinstance(message, _ErrInfo) or not body.is_eof():
            return False
        head = head_in(data, int(message.headers.get(hdrs.CONTENT_LENGTH, 0)))
        if head is not None and len(self._messages) == 1 and self._waiter is not None:
            self._to_learn = head
        return head is not None

    def _request(self, message: Any, *args: Any) -> Any:
        """Makes requests in place of aiohttp, or has it make them."""
        if isinstance(message, KnownRequest):
            return message
        assert self._made is not None
        return self._made(message, *args)

    def _await_head(self) -> None:
        self._head_is_due = self._loop.call_later(self._server.limits.request_timeout, self._give_head_up)

    def _stop_waiting(self) -> None:
        if self._head_is_due is not None:
            self._head_is_due.cancel()
            self._head_is_due = None

    def _give_head_up(self) -> None:
        if self._waiter is None or self._waiter.done():
            # The request before it is not answered yet.
            self._await_head()
            return
        self._head_is_due = None
        late = HttpProcessingError(code=408, message="its head has not come in time")
        self._messages.append((_ErrInfo(status=408, exc=late, message=late.message), EMPTY_PAYLOAD))
        self._waiter.set_result(None)

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(request, KnownRequest):
            try:
                return await super()._handle_request(request, start_time, KnownRequest.answer)
            finally:
                self._prompt = None
                if not self._messages:
                    self._server.places.idle(self)
        if self._to_learn is not None:
            request[RAW_HEAD], self._to_learn = self._to_learn, None
        if self._turned_away and request.path not in self._server.always:
            request_handler = self._no_place
        body = request.content
        late = None
        if not body.is_eof():
            late = self._loop.call_later(self._server.limits.request_timeout, _give_body_up, body)
        try:
            return await super()._handle_request(request, start_time, request_handler)
        finally:
            if late is not None and body.is_eof():
                # What is left of it is skipped, for no longer than that either.
                late.cancel()
            if not self._messages:
                self._server.places.idle(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, KnownRequest):
            return resp, self.transport is None
        return await super().finish_response(request, resp, start_time)

    # What is to leave of an answer -----------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        # Workers among themselves tell by other signs that one of them is gone.
        if self.transport is not None and not self._upgraded:
            self._unsent.watch(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.transport is not None:
            self._unsent.forget()

    # Clients that hang up --------------------------------------------------------------------------------------------

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

    # What is no request ----------------------------------------------------------------------------------------------

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
        if status == 408:
            return plain(status, f"this is no request yet: {reason}; send it faster, or on a new connection")
        return invalid([Fault("request", f"is not HTTP as it should be ({reason})")]).response()

    def log_exception(self, *args: Any, **kw: Any) -> None:
        if isinstance(kw.get("exc_info"), UNREADABLE):
            # The rest of a body that is broken, skipped after its answer: no fault of ours.
            _log.debug(*args, **kw)
        else:
            super().log_exception(*args, **kw)


def _give_body_up(body: aiohttp.StreamReader) -> None:
    if not body.is_eof():
        body.set_exception(TooSlowError("the body has not come in time"))


class Server(web.Server):
    """Makes the connections."""

    def __init__(
        self,
        made: web.Server,
        limits: ServingLimits,
        places: Places[Placed],
        always: Collection[str],
        heads: Heads,
    ) -> None:
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
        self.limits = limits
        self.places = places
        self.always = always
        self.heads = heads
        self.turned_away: set[_Connection] = set()

    def __call__(self) -> _Connection:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def entering(self, on_made: Callable[[], None]) -> _Connection:
        return _Connection(self, on_made, loop=self._loop, **self._kwargs)
