"""What other workers ask of this one's queue: messages for their clients, and settles of what it has handed out.

An answer to another worker is on loan: it goes back to the queue unless that worker confirms in time that the client
has it, and at once when the connection to that worker is lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Container
from time import monotonic
from typing import NamedTuple

from fanout_app.cluster.frames import (
    Confirm,
    Demand,
    EndDemand,
    GiveBack,
    Handed,
    Hold,
    Nothing,
    SettleDemand,
)
from fanout_app.cluster.ports import Peer, Render
from fanout_app.cluster.wire import outcome_frame, settle_of
from fanout_app.core.lease import Answer
from fanout_app.core.leases import Leases
from fanout_app.core.requests import Empty, Pull
from fanout_app.groups import Groups
from fanout_app.pulls import Pulls
from fanout_app.tasks import Tasks

#: Seconds that an answer stays on loan without a word from the worker it was given to. Long enough for a busy one to
#: write it out, short enough for the next client to have the message within 3 s when that worker has died.
LOAN = 2.0
#: Bytes a second that the way to another worker carries at the least: what is behind others on it has longer.
_SLOWEST = 1 << 20
#: Seconds that the way takes for what is small.
_WORTH_A_TIMER = 0.1


class _Lent(NamedTuple):
    """An answer on its way, and how many bytes it is."""

    answer: Answer
    size: int


class Answering:
    """Serves the demands of other workers."""

    def __init__(
        self,
        groups: Groups,
        here: Callable[[], Container[int]],
        render: Render,
        tasks: Tasks,
    ) -> None:
        """``here`` are the partitions of this worker; ``render`` makes finished answers."""
        self._groups = groups
        self._here = here
        self._render = render
        self._tasks = tasks
        self._waiting: dict[tuple[Peer, int], tuple[Pulls, int]] = {}
        self._lent: dict[Peer, dict[int, _Lent]] = {}
        #: Bytes of what is lent.
        self._under_way: Counter[Peer] = Counter()
        self._news = asyncio.Event()
        groups.on_overdue(self._overdue)

    def on_loan(self) -> int:
        """Answers that are under way to clients of other workers."""
        return sum(one.answer.provisional.set for lent in self._lent.values() for one in lent.values())

    async def arrivals(self, within: float) -> None:
        """Wait until it is known of all answers on loan what became of them, up to so many seconds."""
        try:
            async with asyncio.timeout(within):
                while self.on_loan():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    def demand(self, peer: Peer, demand: Demand) -> None:
        waiter = _Client(self, peer, demand)
        pull = Pull(
            client=demand.client,
            group=demand.group,
            max_messages=demand.max_messages,
            max_bytes=demand.max_bytes,
            ack_wait=demand.ack_wait,
            receive_id=demand.receive_id,
            again=demand.again,
        )
        queue = self._groups.of(demand.group)
        if queue is None:
            # It has gone from here, and its worker will have it join again.
            waiter.go_home()
            return
        number = queue.pulls.add(pull, waiter, anonymous=demand.anonymous, on_loan=LOAN)
        if waiter.over:
            return
        if demand.waits:
            self._waiting[peer, demand.number] = queue.pulls, number
        else:
            queue.pulls.end(number)

    def end(self, peer: Peer, frame: EndDemand) -> None:
        waiting = self._waiting.get((peer, frame.number))
        if waiting is not None:
            waiting[0].end(waiting[1])

    def hold(self, peer: Peer, frame: Hold) -> None:
        lent = self._lent.get(peer, {}).get(frame.number)
        if lent is not None and lent.answer.provisional.set:
            self._lend_until(lent.answer, monotonic() + LOAN, being_written=True)

    def confirm(self, peer: Peer, frame: Confirm) -> None:
        answer = self._has_arrived(peer, frame.number)
        if answer is not None:
            Leases.confirm(answer)
            self._news.set()

    def give_back(self, peer: Peer, frame: GiveBack) -> None:
        answer = self._has_arrived(peer, frame.number)
        # Its client may have come with a token of it meanwhile, though the last of it could not be written.
        if answer is not None and answer.provisional.set:
            queue = self._groups.of(answer.group)
            if queue is not None:
                queue.pulls.refuse(answer)
            self._news.set()

    def _has_arrived(self, peer: Peer, number: int) -> Answer | None:
        lent = self._lent.get(peer, {}).pop(number, None)
        if lent is None:
            return None
        self._under_way[peer] -= lent.size
        return lent.answer

    def lost(self, peer: Peer) -> None:
        """The connection is gone: its clients wait here no longer, and what is on loan to it is free."""
        for key in [key for key in self._waiting if key[0] is peer]:
            pulls, number = self._waiting[key]
            pulls.end(number)
        del self._under_way[peer]
        for lent in self._lent.pop(peer, {}).values():
            queue = self._groups.of(lent.answer.group)
            if queue is not None and lent.answer.provisional.set:
                queue.pulls.release(lent.answer)
        self._news.set()

    def _overdue(self, answer: Answer) -> None:
        """A worker does not say what has become of an answer: until it is heard of again nothing more goes to it.

        Otherwise its next client would be given the messages, and the one after that.
        """
        for peer, lent in self._lent.items():
            if any(one.answer is answer for one in lent.values()):
                peer.drop()

    def settle(self, peer: Peer, demand: SettleDemand) -> None:
        self._tasks.start(self._settled(peer, demand), "settle-for-peer")

    async def _settled(self, peer: Peer, demand: SettleDemand) -> None:
        settle, not_here = settle_of(demand, self._here())
        outcome = await self._groups.settle(settle)
        peer.send(outcome_frame(demand.number, outcome, not_here))

    # For the waiter --------------------------------------------------------------------------------------------------

    def hand(self, peer: Peer, demand: Demand, answer: Answer) -> None:
        self._waiting.pop((peer, demand.number), None)
        if answer.shown is not answer.runs:
            self._forget(answer)
        rendered = self._render(answer, demand.wish)
        self._lend(peer, demand.number, _Lent(answer, len(rendered.body or b"")))
        lasts = max(run.deadline for run in answer.shown) - monotonic()
        messages = sum(len(run.messages) for run in answer.shown)
        peer.send(Handed(demand.number, messages, rendered.headers, rendered.body, lasts))

    def _forget(self, answer: Answer) -> None:
        """It goes to its client a second time: what becomes of the first time does not matter any more."""
        for peer, lent in self._lent.items():
            for number in [number for number, one in lent.items() if one.answer is answer]:
                self._has_arrived(peer, number)

    def _lend(self, peer: Peer, number: int, lent: _Lent) -> None:
        self._lent.setdefault(peer, {})[number] = lent
        self._under_way[peer] += lent.size
        way = self._under_way[peer] / _SLOWEST
        if way > _WORTH_A_TIMER:
            self._lend_until(lent.answer, monotonic() + LOAN + way)

    def _lend_until(self, answer: Answer, until: float, *, being_written: bool = False) -> None:
        queue = self._groups.of(answer.group)
        if queue is not None:
            queue.dispatcher.leases.lend(answer, until, being_written=being_written)

    def nothing(self, peer: Peer, demand: Demand) -> None:
        self._waiting.pop((peer, demand.number), None)
        queue = self._groups.of(demand.group)
        pull = Pull(client=demand.client, group=demand.group)
        reason = queue.dispatcher.why_empty(pull, monotonic()) if queue is not None else Empty.MOVING
        peer.send(Nothing(demand.number, reason.value))


class _Client:
    """A client that waits at another worker."""

    def __init__(self, answering: Answering, peer: Peer, demand: Demand) -> None:
        self._answering = answering
        self._peer = peer
        self._demand = demand
        self.over = False

    def take(self, answer: Answer) -> bool:
        self.over = True
        self._answering.hand(self._peer, self._demand, answer)
        return True

    def go_home(self) -> None:
        self.over = True
        self._answering.nothing(self._peer, self._demand)
