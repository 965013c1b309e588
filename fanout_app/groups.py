"""The queues that serve clients: one for all of them, or one for each group."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Set
from typing import Protocol

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.group_row import Slot
from fanout_app.core.lease import Answer
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.limits import Counters, Limits
from fanout_app.core.requests import Settle, SettleOutcome
from fanout_app.ledger_group import Around, LedgerGroup
from fanout_app.numbers import numbers
from fanout_app.opening import Everywhere
from fanout_app.ports import SlotStore
from fanout_app.settles import Begun


class Followers(Protocol):
    """The groups that have ledgers of their own in the partitions of this worker, for who moves these."""

    def suspend(self) -> None:
        """A rebalance has begun."""

    async def write_first(self, number: int, slots: Mapping[int, Slot]) -> None:
        """Write the rows that groups begin with in a partition, before anything of it is handed out.

        Raises:
            WriteError: not all of them were acknowledged.
        """

    def assign(self, number: int, slots: Mapping[int, Slot]) -> None:
        """These have their ledgers in a partition that this worker has just taken on; their rows are written."""

    def drop(self, number: int) -> None:
        """The partition is about to be somebody else's."""

    def in_era(self, number: int, base: LedgerSnapshot) -> dict[int, Slot]:
        """Where they begin in an era that begins, with this ledger of the partition's own."""

    def in_flight(self, number: int) -> int:
        """Messages of a partition that clients hold."""

    def kick(self, within: float = 0.0) -> None:
        """Something may have changed that is to be written, of the partitions themselves too: `GroupCommit.kick`."""

    async def write_last(self, timeout: float) -> None:
        """See `GroupCommit.write_last`."""

    async def write_all(self, timeout: float) -> bool:
        """See `GroupCommit.write_all`."""


class Groups(Followers, Protocol):
    """What else needs to know how many queues there are, and what is done to each of them."""

    #: Groups share what is there by their weights; else each of them gets everything.
    by_weight: bool = True
    #: What was counted by groups that have gone.
    gone: Counters = Counters()

    def queues(self) -> Collection[LedgerGroup]:
        """All that serve clients."""

    def named(self) -> Mapping[str, LedgerGroup]:
        """Those of groups with ledgers of their own, by name."""

    def of(self, group: str) -> LedgerGroup | None:
        """That of the clients of this group; None if it is none, or has gone."""

    def of_batch(self, batch: int) -> LedgerGroup | None:
        """That which a batch was handed out from, if it is still there."""

    def connect(self, store: SlotStore, around: Around, everywhere: Everywhere) -> None:
        """Once the queue that has the partitions is connected; ``everywhere`` is `Joining.everywhere`."""

    async def join(self, group: str, until: float) -> bool:
        """Whether a client of this group may be answered; if not, it is not known by ``until`` (monotonic clock).

        Raises:
            GroupsFullError: there are as many groups as there can be.
        """

    async def settle(self, settle: Settle, until: float | None = None) -> SettleOutcome:
        """See `Settles.settle`."""

    def begin(self, settle: Settle) -> Begun | None:
        """See `Settles.begin`."""
        return None

    async def stop(self) -> None:
        """Write nothing any more."""

    def on_overdue(self, tell: Callable[[Answer], None]) -> None:
        """See `Leases.on_overdue`; of all queues, also of those to come."""

    def groups_alive(self, now: float) -> Set[str]:
        """Those of which clients are alive at this worker."""

    def alive_elsewhere(self, groups: Set[str]) -> bool:
        """Of these, clients are alive at other workers. Answers whether that is anything new."""

    def serve(self) -> None:
        for queue in self.queues():
            queue.serve()

    def go_on(self) -> None:
        for queue in self.queues():
            queue.go_on()

    def look_at_spent(self) -> None:
        for queue in self.queues():
            queue.dead_lettering.look()

    def leave(self, client: str) -> bool:
        """False if nobody of that name is known."""
        return any([queue.leave(client) for queue in self.queues()])

    def stuck_for(self) -> float | None:
        """See `LedgerGroup.stuck_for`; of the one that is for longest."""
        return max((stuck for queue in self.queues() if (stuck := queue.stuck_for()) is not None), default=None)

    def pause(self, paused: bool) -> None:
        for queue in self.queues():
            queue.dispatcher.paused = paused

    def release(self, answer: Answer) -> None:
        queue = self.of(answer.group)
        if queue is not None:
            queue.pulls.release(answer)

    def send_home(self) -> None:
        """End the pulls that wait."""
        for queue in self.queues():
            queue.pulls.end_all()

    def stop_pulls(self) -> None:
        for queue in self.queues():
            queue.pulls.stop()


class Alone(Groups):
    """One queue for all: groups share by their weights what is in it."""

    def __init__(self, queue: LedgerGroup) -> None:
        self._queue = queue

    def queues(self) -> Collection[LedgerGroup]:
        return (self._queue,)

    def named(self) -> Mapping[str, LedgerGroup]:
        return {}

    def of(self, group: str) -> LedgerGroup | None:
        return self._queue

    def of_batch(self, batch: int) -> LedgerGroup | None:
        return self._queue

    async def join(self, group: str, until: float) -> bool:
        return True

    async def settle(self, settle: Settle, until: float | None = None) -> SettleOutcome:
        return await self._queue.settles.settle(settle, until)

    def begin(self, settle: Settle) -> Begun | None:
        return self._queue.settles.begin(settle)

    def on_overdue(self, tell: Callable[[Answer], None]) -> None:
        self._queue.dispatcher.leases.on_overdue = tell

    def groups_alive(self, now: float) -> Set[str]:
        return self._queue.dispatcher.clients.groups_alive(now)

    def alive_elsewhere(self, groups: Set[str]) -> bool:
        sharing = self._queue.dispatcher.sharing
        if groups == sharing.alive_elsewhere:
            return False
        sharing.alive_elsewhere = groups
        return True

    def connect(self, store: SlotStore, around: Around, everywhere: Everywhere) -> None:
        pass

    async def stop(self) -> None:
        pass

    # Nobody follows --------------------------------------------------------------------------------------------------

    def suspend(self) -> None:
        pass

    async def write_first(self, number: int, slots: Mapping[int, Slot]) -> None:
        pass

    def assign(self, number: int, slots: Mapping[int, Slot]) -> None:
        pass

    def drop(self, number: int) -> None:
        pass

    def in_era(self, number: int, base: LedgerSnapshot) -> dict[int, Slot]:
        return {}

    def in_flight(self, number: int) -> int:
        return len(self._queue.dispatcher.partitions[number].in_flight)

    def kick(self, within: float = 0.0) -> None:
        self._queue.commit.kick(within)

    async def write_last(self, timeout: float) -> None:
        pass

    async def write_all(self, timeout: float) -> bool:
        return True


def balancing(limits: Limits) -> tuple[Groups, LedgerGroup]:
    """Those of a worker at which groups share by weights, and the queue that has its partitions."""
    queue = LedgerGroup(Dispatcher(limits, new_batch=numbers(64).__next__, jitter=random.random))
    return Alone(queue), queue
