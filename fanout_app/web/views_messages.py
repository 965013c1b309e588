"""The views that hand messages out and settle them.

Rules for this file: an answer with messages in it is written inside the handler, and released if that fails for
whatever reason. Whatever can be refused is refused before the runtime is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import UNSET, UnsetType

from fanout_app.cluster.frames import Wish
from fanout_app.cluster.ports import Rendered
from fanout_app.cluster.relayed import Relayed
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Empty, Status
from fanout_app.web.answers import Answers, Settled
from fanout_app.web.callers import Caller, PromptCaller
from fanout_app.web.codecs import Form
from fanout_app.web.errands import Errand
from fanout_app.web.ports import Begun, Runtime
from fanout_app.web.problems import Fault, Kind, Problem, invalid
from fanout_app.web.redirects import Redirects
from fanout_app.web.rendering import Renderer
from fanout_app.web.reply import Reply
from fanout_app.web.schemas import NextQuery, NoQuery, PullBody, PullQuery, SettleBody
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.translation import CLIENT_HEADER, Asked, pull_of, settle_of
from fanout_app.web.validation import Body, query

_PULL: Final = Body(PullBody)
_SETTLE: Final = Body(SettleBody)
_NOT_REDIRECTED: Final = PullQuery()
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

    async def pull(self, caller: Caller) -> None:
        _ = caller.form  # refused before anything is done
        place = query(PullQuery, caller.query, list(caller.query)) if caller.query else _NOT_REDIRECTED
        raw = await caller.body()
        body: PullBody = _PULL.decode(raw, caller.asked_in) if raw else PullBody()
        asked = self._asked(body, caller)
        if elsewhere := self._elsewhere(caller, place.redirects):
            await caller.write(elsewhere)
            return
        self._one_more_pull()
        try:
            settled: Settled | UnsetType = UNSET
            if not isinstance(body.settle, UnsetType):
                settled = await self._settled(body.settle)
            await self.hand_out(caller, asked, body, settled)
        finally:
            self._pulls -= 1

    async def hand_out(self, caller: Caller, asked: Asked, body: PullBody, settled: Settled | UnsetType) -> None:
        """Wait for messages and answer with them, and with what the settle of this pull has come to."""
        form = caller.form
        wish = Wish(
            form=form.name,
            utf8=body.encoding == "utf8",
            settled=b"" if isinstance(settled, UnsetType) else form.encode(settled),
        )
        answer = await self._pull(asked, body.wait_ms, wish)
        if not isinstance(answer, Empty):
            await self._deliver(caller, answer, wish)
        elif isinstance(settled, UnsetType):
            await caller.write(self._nothing(asked, answer))
        else:
            await caller.write(self._reply(form, self._answers.nothing(asked.pull.client, answer, settled)))

    async def next(self, caller: Caller) -> None:
        options = query(NextQuery, caller.query, list(caller.query))
        if await caller.body():
            raise invalid([Fault("body", "options go into the query here; send no body")])
        asked = self._asked(options, caller)
        if elsewhere := self._elsewhere(caller, options.redirects):
            await caller.write(elsewhere)
            return
        self._one_more_pull()
        try:
            wish = Wish(form="next", tell_client=asked.anonymous)
            answer = await self._pull(asked, options.wait_ms, wish)
            if isinstance(answer, Empty):
                await caller.write(self._nothing(asked, answer))
            else:
                await self._deliver(caller, answer, wish)
        finally:
            self._pulls -= 1

    async def settle(self, caller: Caller) -> None:
        form = caller.form
        if caller.query:
            query(NoQuery, caller.query, list(caller.query))
        raw = await caller.body()
        body: SettleBody = _SETTLE.decode(raw, caller.asked_in) if raw else SettleBody()
        settled = await self._settled(body)
        if nothing_tried(settled):
            raise Problem(Kind.MOVING, RETRY_DETAIL)
        await caller.write(Reply(200, form.headers, form.encode(settled)))

    def _asked(self, body: PullBody | NextQuery, caller: Caller) -> Asked:
        return pull_of(body, caller.client, self._ack_wait, caller.identity, broadcast=self._broadcast)

    async def _pull(self, asked: Asked, wait_ms: int, wish: Wish) -> Answer | Relayed | Empty:
        answer = await self._runtime.pull(asked.pull, wait=wait_ms / 1000, anonymous=asked.anonymous, wish=wish)
        if isinstance(answer, Answer) and not answer.live:
            # Its leases, of a few milliseconds, ended before this line: the messages are somebody else's by now.
            return Empty.NO_MESSAGE
        if isinstance(answer, Relayed) and not answer.good:
            answer.give_back()
            return Empty.NO_MESSAGE
        return answer

    def _elsewhere(self, caller: Caller, redirects: int) -> Reply | None:
        """The way to the worker that is to serve this pull, in redirect mode and where it is not this one."""
        return None if self._redirects is None else self._redirects.of(caller.url, redirects)

    async def _settled(self, body: SettleBody) -> Settled:
        to_settle, unread = settle_of(body, self._codec.read, self._ack_wait)
        return self._answers.settled(await self._runtime.settle(to_settle), unread)

    # The same without a task -----------------------------------------------------------------------------------------

    def begin(self, caller: PromptCaller) -> Errand | None:
        """Settle what a pull brings, up to its row. None: it is for `pull`, and nothing was done.

        Raises:
            Problem: as `pull` does; nothing was done.
        """
        if self._redirects is not None or self._runtime.stopping:
            return None
        body: PullBody = _PULL.decode(caller.raw, caller.asked_in)
        if body.repeat:
            return None
        asked = self._asked(body, caller)
        begun: Begun | None = None
        unread: list[str] = []
        if self._pulls >= self._max_waiting:
            return None
        if not isinstance(body.settle, UnsetType):
            to_settle, unread = settle_of(body.settle, self._codec.read, self._ack_wait)
            begun = self._runtime.begin_settle(to_settle)
            if begun is None:
                return None
        self._pulls += 1
        return Errand(self, caller, asked, body, begun, unread)

    def hand_out_now(self, asked: Asked) -> Answer | None:
        return self._runtime.pull_at_once(asked.pull, anonymous=asked.anonymous)

    def settled(self, begun: Begun, unread: list[str]) -> Settled:
        return self._answers.settled(begun.outcome, unread)

    def put(self, caller: PromptCaller, answer: Answer, body: PullBody, settled: Settled | UnsetType) -> None:
        form = caller.form
        pulled = self._answers.pulled(answer, settled, utf8=body.encoding == "utf8" and not form.binary)
        caller.put(Reply(200, form.headers, form.encode(pulled)))

    def release(self, answer: Answer) -> None:
        self._runtime.release(answer)

    async def taken(self, caller: PromptCaller, answer: Answer) -> None:
        deadline = max([run.deadline for run in answer.shown])
        await self._while_taken(caller, answer, caller.drained(deadline - self._runtime.now()))

    def left(self) -> None:
        self._pulls -= 1

    # Answers ---------------------------------------------------------------------------------------------------------

    async def _deliver(self, caller: Caller, answer: Answer | Relayed, wish: Wish) -> None:
        """Write an answer here and now, to a client that is there, or put its messages back.

        A client that does not read it is hung up on when its leases end: what it has not taken is somebody else's then,
        and the bytes would wait here for ever.
        """
        if isinstance(answer, Relayed):
            await self._relay(caller, answer)
            return
        deadline = max([run.deadline for run in answer.shown])
        await self._while_taken(caller, answer, self._write(caller, lambda: self._render(answer, wish), deadline))

    async def _while_taken(self, caller: Caller, answer: Answer, writing: Awaitable[None]) -> None:
        shown = answer.shown
        try:
            await writing
        except TimeoutError:
            caller.hang_up()
            raise ConnectionResetError from None
        except BaseException:
            # Unless its client has asked once more meanwhile, and has it by another way.
            if answer.shown is shown:
                self._runtime.release(answer)
            raise

    async def _relay(self, caller: Caller, answer: Relayed) -> None:
        """The same for the answer of another worker."""
        try:
            with answer.held():
                await self._write(caller, lambda: answer, self._runtime.now() + answer.left)
        except TimeoutError:
            # Its leases have ended by themselves.
            caller.hang_up()
            raise ConnectionResetError from None
        except BaseException:
            answer.give_back()
            raise
        answer.confirm()

    async def _write(self, caller: Caller, make: Callable[[], Rendered | Relayed], deadline: float) -> None:
        """Raises TimeoutError if the client has not taken it by then, and ConnectionError if it is gone."""
        if not caller.is_there():
            raise ConnectionResetError
        rendered = make()
        reply = Reply(200, rendered.headers, rendered.body, self._runtime.stopping)
        await caller.write(reply, deadline - self._runtime.now())

    def _nothing(self, asked: Asked, empty: Empty) -> Reply:
        headers: tuple[tuple[str, str], ...] = (("Fanout-Empty", empty.value),)
        if asked.anonymous:
            headers += ((CLIENT_HEADER, asked.pull.client),)
        return Reply(204, headers, None, self._runtime.stopping)

    def _reply(self, form: Form, value: object) -> Reply:
        """While the worker stops, clients are to find another one."""
        return Reply(200, form.headers, form.encode(value), self._runtime.stopping)

    def _one_more_pull(self) -> None:
        if self._pulls >= self._max_waiting:
            detail = f"{self._max_waiting} pulls wait at this worker already: ask again later, or another worker"
            raise Problem(Kind.TOO_MANY_WAITING, detail)
        self._pulls += 1


def nothing_tried(settled: Settled) -> bool:
    """Whether no entry of a settle could be tried at all."""
    return (
        bool(settled.results)
        and not (settled.acked or settled.nacked or settled.extended or settled.rejected)
        and all(result.status == Status.RETRY.value for result in settled.results)
    )
