"""Pulls that wait at this worker's queue, those of its own clients and those that other workers make for theirs.

Rules for this file: no decision of the core is awaited between being made and being recorded, and nothing is handed
out by a worker that may no longer own what it hands out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Protocol

from fanout_app.alarm import Alarm
from fanout_app.core.ages import Ages
from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Empty, Pull
from fanout_app.ports import Terms

logger = logging.getLogger("fanout.pulls")

_OWNERSHIP_RECHECK = 0.1
#: No pull has this number: it was over at once.
_OVER = 0


class Waiter(Protocol):
    """Who waits with a pull."""

    def take(self, answer: Answer) -> bool:
        """Here is something for it. False: it is gone, and the messages are for others."""

    def go_home(self) -> None:
        """Its pull is over, with nothing."""


class Pulls:
    """The waiting pulls of one worker's queue."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        terms: Terms,
        *,
        moved: asyncio.Event,
        take_more: Callable[[], None],
        on_time: Callable[[], None],
        ages: Ages,
    ) -> None:
        """``moved`` is set while no rebalance is under way; ``take_more`` is called when somebody has come.

        ``ages`` is told of what is handed out; ``on_time`` is called when something of the queue is due: it has to
        call `serve`.
        """
        self._dispatcher = dispatcher
        self._terms = terms
        self._moved = moved
        self._take_more = take_more
        self._ages = ages
        self._waiters: dict[int, Waiter] = {}
        self._alarm = Alarm(on_time)
        self._ours = True
        #: When something was handed out last, or began to be waited for.
        self.idle_since = 0.0

    def __len__(self) -> int:
        return len(self._waiters)

    def __iter__(self) -> Iterator[int]:
        return iter(self._waiters)

    async def pull(self, pull: Pull, *, wait: float, anonymous: bool = False) -> Answer | Empty:
        """Wait up to ``wait`` seconds for messages. If cancelled, whatever was handed out is taken back."""
        waiter = _Waiting()
        number = self.add(pull, waiter, anonymous=anonymous)
        handle = None
        if not waiter.found.done():
            if wait > 0:
                handle = asyncio.get_running_loop().call_later(wait, self.end, number)
            else:
                self.end(number)
        try:
            answer = await waiter.found
        except asyncio.CancelledError:
            self.end(number)
            answer = waiter.left()
            if answer is not None:
                self.release(answer)
            raise
        finally:
            if handle is not None:
                handle.cancel()
        return answer if answer is not None else self._dispatcher.why_empty(pull, monotonic())

    def at_once(self, pull: Pull, *, anonymous: bool = False) -> Answer | None:
        """What there is for a client at this moment, if it is its turn. It does not wait."""
        client = _InPassing()
        number = self.add(pull, client, anonymous=anonymous)
        if client.answer is None:
            self.end(number)
        return client.answer

    def add(self, pull: Pull, waiter: Waiter, *, anonymous: bool = False, on_loan: float | None = None) -> int:
        """Let a pull wait until it is handed something or `end` is called. May hand something out at once.

        Returns:
            Its number.
        """
        now = monotonic()
        if pull.receive_id and self._was_answered(pull, waiter, now, on_loan):
            return _OVER
        number = self._dispatcher.add_pull(now, pull, anonymous=anonymous, on_loan=on_loan)
        if not self._waiters:
            self.idle_since = now
        self._waiters[number] = waiter
        self._take_more()
        self.serve()
        return number

    def _was_answered(self, pull: Pull, waiter: Waiter, now: float, on_loan: float | None) -> bool:
        """Give a pull that is sent again what it was answered with; False if it is as good as new."""
        answer = self._dispatcher.again(pull, now, on_loan) if self._still_ours(now) else None
        if answer is not None:
            # A client that has gone meanwhile may come once more: that it is not there takes nothing from it.
            waiter.take(answer)
        elif pull.again:
            waiter.go_home()
        return answer is not None or pull.again

    def end(self, number: int) -> None:
        """The pull's time is up, or who waits has gone. Ending one that is over is no fault."""
        waiter = self._waiters.pop(number, None)
        self._dispatcher.cancel_pull(number, monotonic())
        if waiter is not None:
            waiter.go_home()

    def end_all(self) -> None:
        for number in list(self._waiters):
            self.end(number)

    def release(self, answer: Answer) -> None:
        """The answer did not reach its client: its messages go to the next one at once, uncounted."""
        if answer.batch in self._dispatcher.answers:
            self._dispatcher.release(answer, monotonic())
            self.serve()

    def refuse(self, answer: Answer) -> None:
        """The same where its client was served by another worker meanwhile."""
        if answer.batch in self._dispatcher.answers:
            self._dispatcher.refuse(answer, monotonic())
            self.serve()

    def serve(self) -> None:
        """Hand out what there is to who waits, and set the timer for what comes next."""
        now = monotonic()
        if self._waiters:
            if not self._still_ours(now):
                self._alarm.at(now + _OWNERSHIP_RECHECK)
                return
            while self._hand_out(now):
                pass
        self._alarm.at(self._dispatcher.next_deadline())

    def _hand_out(self, now: float) -> bool:
        """True if something has come back meanwhile: then others that wait are to have it."""
        came_back = False
        for number, answer in self._dispatcher.serve(now):
            self.idle_since = now
            if self._waiters.pop(number).take(answer):
                self._ages.handed_out(answer.runs, time.time() * 1000)
            else:
                self._dispatcher.release(answer, now)
                came_back = True
        return came_back

    def _still_ours(self, now: float) -> bool:
        """Whether anything may be handed out: somebody else may own these partitions by now, and we not know it."""
        ours = self._terms.holds(self._terms.term(), now)
        if ours != self._ours and self._moved.is_set() and self._dispatcher.partitions:
            self._ours = ours
            if ours:
                logger.warning("the group's coordinator answers again: messages are handed out again")
            else:
                logger.warning("no recent answer from the group's coordinator: nothing is handed out until it comes")
        return ours

    def stop(self) -> None:
        self._alarm.cancel()


class _InPassing:
    """A client that takes what is there or goes on."""

    def __init__(self) -> None:
        self.answer: Answer | None = None

    def take(self, answer: Answer) -> bool:
        self.answer = answer
        return True

    def go_home(self) -> None:
        pass


class _Waiting:
    """A client of this worker that waits at no other."""

    def __init__(self) -> None:
        self.found: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

    def take(self, answer: Answer) -> bool:
        if self.found.done():  # its task was cancelled in this very turn of the loop
            return False
        self.found.set_result(answer)
        return True

    def go_home(self) -> None:
        if not self.found.done():
            self.found.set_result(None)

    def left(self) -> Answer | None:
        """What it was handed in the turn of the loop in which it was cancelled."""
        return self.found.result() if self.found.done() and not self.found.cancelled() else None
