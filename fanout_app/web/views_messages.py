"""The views that hand messages out and settle them.

Rules for this file: an answer with messages in it is written inside the handler, and released if that fails for
whatever reason. Whatever can be refused is refused before the runtime is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web
from msgspec import UNSET, UnsetType
from multidict import CIMultiDict

from fanout_app.cluster.frames import Wish
from fanout_app.cluster.ports import Rendered
from fanout_app.cluster.relayed import Relayed
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Empty, Status
from fanout_app.web.access import identity_of
from fanout_app.web.answers import Answers, Settled
from fanout_app.web.codecs import asked_in_msgpack, form_of
from fanout_app.web.handlers import hang_up, is_there, read_body, refuse_body, refuse_query
from fanout_app.web.ports import Runtime
from fanout_app.web.problems import Kind, Problem
from fanout_app.web.redirects import Redirects
from fanout_app.web.rendering import Renderer
from fanout_app.web.schemas import NextQuery, PullBody, PullQuery, SettleBody
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.translation import CLIENT_HEADER, Asked, pull_of, settle_of
from fanout_app.web.validation import Body, query

_PULL: Final = Body(PullBody)
_SETTLE: Final = Body(SettleBody)
RETRY_DETAIL: Final = (
    "the partition is moving, or Kafka does not take the write: whether it counts is unknown, send it again"
)


class MessageViews:
    """Pull, settle, and the one-message form of pull."""

    def __init__(
        self,
        runtime: Runtime,
        codec: TokenCodec,
        *,
        max_waiting: int,
        ack_wait: float,
        redirect: bool = False,
        broadcast: bool = False,
    ) -> None:
        self._runtime = runtime
        self._codec = codec
        self._max_waiting = max_waiting
        self._ack_wait = ack_wait
        self._broadcast = broadcast
        self._answers = Answers(runtime, codec)
        self._render = Renderer(runtime, codec)
        self._redirects = Redirects(runtime) if redirect else None
        self._pulls = 0

    async def pull(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        place = query(PullQuery, request.query, list(request.query))
        raw = await read_body(request)
        body: PullBody = _PULL.decode(raw, msgpack=asked_in_msgpack(request)) if raw else PullBody()
        asked = self._asked(body, request)
        if elsewhere := self._elsewhere(request, place.redirects):
            return elsewhere
        with self._one_more_pull():
            settled: Settled | UnsetType = UNSET
            if not isinstance(body.settle, UnsetType):
                settled = await self._settled(body.settle)
            wish = Wish(
                form="msgpack" if form.msgpack else "json",
                utf8=body.encoding == "utf8",
                settled=b"" if isinstance(settled, UnsetType) else form.encoder.encode(settled),
            )
            answer = await self._pull(asked, body.wait_ms, wish)
            if isinstance(answer, Empty):
                if isinstance(settled, UnsetType):
                    return self._nothing(asked, answer)
                return self._closing(form.response(self._answers.nothing(asked.pull.client, answer, settled)))
            return await self._deliver(request, answer, wish)

    async def next(self, request: web.Request) -> web.StreamResponse:
        options = query(NextQuery, request.query, list(request.query))
        await refuse_body(request)
        asked = self._asked(options, request)
        if elsewhere := self._elsewhere(request, options.redirects):
            return elsewhere
        with self._one_more_pull():
            wish = Wish(form="next", tell_client=asked.anonymous)
            answer = await self._pull(asked, options.wait_ms, wish)
            if isinstance(answer, Empty):
                return self._nothing(asked, answer)
            return await self._deliver(request, answer, wish)

    async def settle(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        refuse_query(request)
        raw = await read_body(request)
        body: SettleBody = _SETTLE.decode(raw, msgpack=asked_in_msgpack(request)) if raw else SettleBody()
        settled = await self._settled(body)
        if nothing_tried(settled):
            raise Problem(Kind.MOVING, RETRY_DETAIL)
        return form.response(settled)

    def _asked(self, body: PullBody | NextQuery, request: web.Request) -> Asked:
        name, asker = request.headers.get(CLIENT_HEADER), identity_of(request)
        return pull_of(body, name, self._ack_wait, asker, broadcast=self._broadcast)

    async def _pull(self, asked: Asked, wait_ms: int, wish: Wish) -> Answer | Relayed | Empty:
        answer = await self._runtime.pull(asked.pull, wait=wait_ms / 1000, anonymous=asked.anonymous, wish=wish)
        if isinstance(answer, Answer) and not answer.live:
            # Its leases, of a few milliseconds, ended before this line: the messages are somebody else's by now.
            return Empty.NO_MESSAGE
        if isinstance(answer, Relayed) and not answer.good:
            answer.give_back()
            return Empty.NO_MESSAGE
        return answer

    def _elsewhere(self, request: web.Request, redirects: int) -> web.Response | None:
        """The way to the worker that is to serve this pull, in redirect mode and where it is not this one."""
        return None if self._redirects is None else self._redirects.of(request, redirects)

    async def _settled(self, body: SettleBody) -> Settled:
        to_settle, unread = settle_of(body, self._codec.read, self._ack_wait)
        return self._answers.settled(await self._runtime.settle(to_settle), unread)

    # Answers ---------------------------------------------------------------------------------------------------------

    async def _deliver(self, request: web.Request, answer: Answer | Relayed, wish: Wish) -> web.StreamResponse:
        """Write an answer here and now, to a client that is there, or put its messages back.

        A client that does not read it is hung up on when its leases end: what it has not taken is somebody else's then,
        and the bytes would wait here for ever.
        """
        if isinstance(answer, Relayed):
            return await self._relay(request, answer)
        deadline = max(run.deadline for run in answer.runs)
        try:
            return await self._write(request, lambda: self._render(answer, wish), deadline)
        except TimeoutError:
            hang_up(request)
            raise ConnectionResetError from None
        except BaseException:
            self._runtime.release(answer)
            raise

    async def _relay(self, request: web.Request, answer: Relayed) -> web.StreamResponse:
        """The same for the answer of another worker."""
        try:
            with answer.held():
                response = await self._write(request, lambda: answer, self._runtime.now() + answer.left)
        except TimeoutError:
            # Its leases have ended by themselves.
            hang_up(request)
            raise ConnectionResetError from None
        except BaseException:
            answer.give_back()
            raise
        answer.confirm()
        return response

    async def _write(
        self, request: web.Request, make: Callable[[], Rendered | Relayed], deadline: float
    ) -> web.StreamResponse:
        """Raises TimeoutError if the client has not taken it by then, and what aiohttp does if it is gone."""
        if not is_there(request):
            raise ConnectionResetError
        rendered = make()
        response = self._closing(web.Response(body=rendered.body, headers=CIMultiDict(rendered.headers)))
        async with asyncio.timeout(deadline - self._runtime.now()):
            await response.prepare(request)
            await response.write_eof()
        return response

    def _nothing(self, asked: Asked, empty: Empty) -> web.Response:
        headers = {"Fanout-Empty": empty.value}
        if asked.anonymous:
            headers[CLIENT_HEADER] = asked.pull.client
        return self._closing(web.Response(status=204, headers=headers))

    def _closing(self, response: web.Response) -> web.Response:
        """While the worker stops, clients are to find another one."""
        if self._runtime.stopping:
            response.force_close()
        return response

    @contextmanager
    def _one_more_pull(self) -> Iterator[None]:
        if self._pulls >= self._max_waiting:
            detail = f"{self._max_waiting} pulls wait at this worker already: ask again later, or another worker"
            raise Problem(Kind.TOO_MANY_WAITING, detail)
        self._pulls += 1
        try:
            yield
        finally:
            self._pulls -= 1


def nothing_tried(settled: Settled) -> bool:
    """Whether no entry of a settle could be tried at all."""
    return (
        bool(settled.results)
        and not (settled.acked or settled.nacked or settled.extended or settled.rejected)
        and all(result.status == Status.RETRY.value for result in settled.results)
    )
