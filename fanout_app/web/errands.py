"""Pulls that are answered without a task: from the bytes of a request to its row, and from the row to its answer.

A task, the futures it waits for and the coroutines around them cost a fourth of all that is done for one message. A
pull that brings an ack has one thing to wait for, its row, and nearly always finds a message then. So it is begun where
its bytes arrive, told when the row is written, and answered there and then, together with all that waited for the same
row.

Rule for this file: whatever else has to be waited for (another partition, worker or group, a message, a client that
reads slowly), and whatever goes wrong, is for a task. An errand can go on as one wherever it stands, and then does what
`MessageViews.pull` does, from that point.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import UNSET, UnsetType

from fanout_app.core.lease import Answer
from fanout_app.web.answers import Settled
from fanout_app.web.callers import PromptCaller
from fanout_app.web.ports import Begun
from fanout_app.web.schemas import PullBody
from fanout_app.web.translation import Asked


class Desk(Protocol):
    """What errands need of `MessageViews`."""

    def hand_out_now(self, asked: Asked) -> Answer | None:
        """What there is for it at this moment. None as well where the answer would have more to say than that."""

    def put(self, caller: PromptCaller, answer: Answer, body: PullBody, settled: Settled | UnsetType) -> None:
        """Write an answer. What the client has not taken yet is waited for by `taken`."""

    def settled(self, begun: Begun, unread: list[str]) -> Settled: ...
    def release(self, answer: Answer) -> None: ...
    async def taken(self, caller: PromptCaller, answer: Answer) -> None: ...
    async def hand_out(self, caller: PromptCaller, asked: Asked, body: PullBody, settled: Settled | UnsetType) -> None:
        """Wait for messages, and answer."""

    def left(self) -> None:
        """One pull less is under way."""


class Errand:
    """One pull. It is under way until it calls `left` of its desk, which it does once."""

    __slots__ = ("_answer", "_asked", "_begun", "_body", "_caller", "_desk", "_failure", "_unread", "_waits")

    def __init__(
        self, desk: Desk, caller: PromptCaller, asked: Asked, body: PullBody, begun: Begun | None, unread: list[str]
    ) -> None:
        self._desk = desk
        self._caller = caller
        self._asked = asked
        self._body = body
        #: The settle that came with it, done in memory.
        self._begun = begun
        #: Tokens of it that the core was not asked about.
        self._unread = unread
        #: For its row.
        self._waits = False
        #: What was written, and is not with the client yet.
        self._answer: Answer | None = None
        self._failure: Exception | None = None

    def go(self) -> None:
        """Begin, once the caller knows of it: this may be all."""
        begun = self._begun
        if begun is None or not begun.rows:
            self._go_on()
        elif begun.rows > 1:
            self._caller.go_on()
        else:
            self._waits = True
            begun.tell(self)

    # For the group commit, as a future is ----------------------------------------------------------------------------

    def done(self) -> bool:
        return not self._waits

    def set_result(self, written: bool) -> None:
        self._waits = False
        if written:
            self._go_on()
        else:
            self._caller.go_on()

    # The rest of it --------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Hand out what there is, and answer. Never raises: others go on behind it."""
        answer = None
        try:
            if not self._caller.is_there():
                self._caller.go_on()
                return
            answer = self._desk.hand_out_now(self._asked)
            if answer is None:
                self._caller.go_on()
                return
            settled = UNSET if self._begun is None else self._desk.settled(self._begun, self._unread)
            self._desk.put(self._caller, answer, self._body, settled)
        except Exception as error:
            if answer is not None:
                self._desk.release(answer)
            self._failure = error
            self._caller.go_on()
            return
        if self._caller.is_behind():
            self._answer = answer
            self._caller.go_on()
        else:
            self._desk.left()
            self._caller.answered()

    def interrupt(self) -> None:
        """It is to wait for its row in a task: something else has come on its connection, or that comes to an end."""
        self._waits = False
        if self._begun is not None:
            self._begun.tell_no_more(self)

    def abandon(self) -> None:
        """Its client has gone, before it was answered or went on in a task."""
        self.interrupt()
        if self._answer is not None:
            self._desk.release(self._answer)
        self._desk.left()

    async def rest(self) -> None:
        """What is left of it, in a task. Raises what `MessageViews.pull` raises."""
        try:
            if self._failure is not None:
                raise self._failure
            if self._answer is not None:
                await self._desk.taken(self._caller, self._answer)
                return
            settled: Settled | UnsetType = UNSET
            if self._begun is not None:
                await self._begun.written()
                settled = self._desk.settled(self._begun, self._unread)
            await self._desk.hand_out(self._caller, self._asked, self._body, settled)
        finally:
            self._desk.left()
