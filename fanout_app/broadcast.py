"""The groups of a worker at which each group gets every message: how they join, follow the partitions, and are dropped.

Rules for this file: a group is handed nothing of a partition before the changelog has its row there; the floor of a
partition itself never passes a floor of a group that the changelog may have; and a group that has gone is dropped here
for the partitions of this worker alone, as each owner does for its own.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import replace
from time import monotonic

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.errors import GroupsFullError
from fanout_app.core.group_bits import RANDOM_BITS, bits_of, hash_of
from fanout_app.core.group_row import SLOTS, Slot
from fanout_app.core.lease import Answer
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger
from fanout_app.core.limits import Limits, summed
from fanout_app.core.parked import address
from fanout_app.core.passing import Passing
from fanout_app.core.requests import Settle, SettleOutcome
from fanout_app.core.slots import Seat, Slots
from fanout_app.core.windows import Windows
from fanout_app.groups import Groups
from fanout_app.ledger_group import Around, LedgerGroup
from fanout_app.numbers import numbers
from fanout_app.opening import Everywhere, Opening
from fanout_app.options import Options
from fanout_app.parked_of_groups import SinkOfGroup
from fanout_app.ports import SlotStore, WriteError
from fanout_app.settles_of_groups import SettlesOfGroups

logger = logging.getLogger("fanout.broadcast")

_BACKOFF = 0.2
_LOOK_EVERY = 0.25
#: Groups that have gone of which it is known how much was counted of them, to go on from there if they come back.
_REMEMBERED = 1000


class _Store:
    """Where the ledgers of one group go."""

    def __init__(self, broadcast: Broadcast, group: str) -> None:
        self._broadcast = broadcast
        self._group = group

    async def write_row(self, partition: int, snapshot: LedgerSnapshot) -> int:
        return await self._broadcast.write_row(self._group, partition, snapshot)


class _Group(LedgerGroup):
    """One group, and what it has at this worker."""

    def __init__(self, name: str, limits: Limits) -> None:
        prefix = hash_of(name) << RANDOM_BITS
        drawn = numbers(RANDOM_BITS)
        dispatcher = Dispatcher(limits, new_batch=lambda: prefix | next(drawn), jitter=random.random)
        dispatcher.set_weights({name: 100})
        super().__init__(dispatcher)
        self.name = name
        #: Partitions in which the changelog has a row of it.
        self.joined: set[int] = set()
        self.joining: dict[int, asyncio.Task[None]] = {}
        #: From when on nobody being there means that it has gone.
        self.due = 0.0


class Broadcast(Groups):
    """All groups of one worker."""

    by_weight = False

    def __init__(self, base: LedgerGroup, intake: Passing) -> None:
        """``base`` has the ledgers of the partitions themselves, ``intake`` is its dispatcher."""
        self._base = base
        self._intake = intake
        intake.on_passed_over = self._kick_quietly
        self._limits = intake.limits
        self._groups: dict[str, _Group] = {}
        #: See `_REMEMBERED`; the latest last.
        self._gone_windows: dict[str, Windows] = {}
        self._by_hash: dict[int, _Group] = {}
        self._slots: dict[int, Slots] = {}
        self._elsewhere: Set[str] = frozenset()
        self._overdue: Callable[[Answer], None] = lambda answer: None
        self._settles = SettlesOfGroups(self._by_hash, intake.partitions)

    def connect(self, store: SlotStore, around: Around, everywhere: Everywhere) -> None:
        self._store = store
        self._around = around
        self._terms = around.terms
        self._tasks = around.tasks
        self._moved = around.moved
        self._settles.moved = around.moved
        self._opening = Opening(
            self._intake, around, everywhere=everywhere, let_in=self._let_in, opened=self._partition_opened
        )
        self._tasks.start(self._look_on(), "watch-groups")

    # Who is there ----------------------------------------------------------------------------------------------------

    def queues(self) -> Collection[LedgerGroup]:
        return self._groups.values()

    def named(self) -> Mapping[str, LedgerGroup]:
        return self._groups

    def of(self, group: str) -> LedgerGroup | None:
        return self._groups.get(group)

    def of_batch(self, batch: int) -> LedgerGroup | None:
        return self._by_hash.get(bits_of(batch))

    def on_overdue(self, tell: Callable[[Answer], None]) -> None:
        self._overdue = tell

    def pause(self, paused: bool) -> None:
        self._intake.paused = paused
        super().pause(paused)

    def groups_alive(self, now: float) -> Set[str]:
        return {name for name, group in self._groups.items() if group.dispatcher.clients.groups_alive(now)}

    def alive_elsewhere(self, groups: Set[str]) -> bool:
        self._elsewhere = groups
        return False

    def _new(self, name: str) -> _Group:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = self._by_hash[hash_of(name)] = _Group(name, self._limits)
            group.dispatcher.leases.windows.go_on_from(self._gone_windows.pop(name, Windows()))
            group.dispatcher.paused = self._intake.paused
            group.dispatcher.leases.on_overdue = self._overdue
            self._intake.groups[name] = group.dispatcher
            dead_letters = SinkOfGroup(self._around.dead_letters, name)
            group.connect(_Store(self, name), replace(self._around, dead_letters=dead_letters))
            group.on_written = self._follow
            group.commit.on_commit_seconds = self._base.commit.on_commit_seconds
            group.commit.on_commit_failed = self._base.commit.on_commit_failed
        group.due = monotonic() + self._limits.client_ttl
        return group

    # Joining ---------------------------------------------------------------------------------------------------------

    async def join(self, group: str, until: float) -> bool:
        """Let a group be one; see `Groups.join`."""
        while True:
            one = self._groups.get(group)
            if one is None:
                if len(self._groups) >= SLOTS or hash_of(group) in self._by_hash:
                    raise GroupsFullError(f"{SLOTS} groups are there already: wait until one of them has gone")
                one = self._new(group)
            one.due = monotonic() + self._limits.client_ttl
            here = self._intake.partitions.keys()
            if self._moved.is_set() and one.joined >= here:
                return True
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - monotonic()):
                    if self._moved.is_set():
                        await asyncio.wait(self._joins(one, here - one.joined))
                    else:
                        await self._moved.wait()
            except TimeoutError:
                return False

    def _joins(self, group: _Group, numbers: Iterable[int]) -> list[asyncio.Task[None]]:
        """The tasks that let a group join in these partitions. Raises GroupsFullError."""
        for number in set(numbers) - group.joining.keys():
            seat = self._slots[number].of(group.name)
            if seat is not None:
                # Of its row it is not known whether the changelog has it: not to be taken for the one to come.
                self._slots[number].free(group.name)
            self._slots[number].take(group.name)
            group.joining[number] = self._tasks.start(self._join(group, number), f"join-{number}")
        return list(group.joining.values())

    async def _join(self, group: _Group, number: int) -> None:
        """Begin at the newest message offered; what comes while the row is under way is kept for it."""
        base, term = self._intake.partitions[number].ledger, self._terms.term()
        # Above the floor there is what was settled in a time of balance, for everybody.
        at = self._intake.partitions[number].next_offset
        begun = LedgerSnapshot(era=base.era, floor=at, settled=base.settled, topic_id=base.topic_id, tenure=base.tenure)
        first = PartitionLedger(begun).snapshot()
        partition = self._intake.assign_group(group.dispatcher, number, first)
        await self._prove(group.name, number, first, term)
        del group.joining[number]
        group.commit.assign(number)
        group.joined.add(number)
        partition.suspended = False
        logger.info("partition %d: group %s joins at %d", number, group.name, first.floor)
        group.go_on()

    @staticmethod
    def _abandon(group: _Group, number: int) -> None:
        """Whether its row is in the changelog is not known: it begins anew."""
        joining = group.joining.pop(number, None)
        if joining is not None:
            joining.cancel()
            group.dispatcher.drop(number, monotonic())

    async def _prove(self, group: str, number: int, first: LedgerSnapshot, term: int) -> None:
        """Write its row until the changelog has it and the partition is known to be ours still; or for ever."""
        while True:
            try:
                await self.write_row(group, number, first)
            except WriteError as error:
                logger.debug("partition %d: group %s cannot join yet: %s", number, group, error)
            else:
                if self._terms.holds(term, monotonic()):
                    return
            await asyncio.sleep(_BACKOFF)

    async def write_row(self, group: str, partition: int, snapshot: LedgerSnapshot) -> int:
        """Raises WriteError: it was not acknowledged, or the group has no place there any more."""
        slots = self._slots.get(partition)
        seat = slots.of(group) if slots is not None else None
        if seat is None:
            raise WriteError("the group has been dropped")
        return await self._store.write_slot(partition, seat.number, Slot(seat.claim, group, snapshot))

    # Following the partitions ----------------------------------------------------------------------------------------

    def suspend(self) -> None:
        for group in self._groups.values():
            for number in list(group.joining):
                self._abandon(group, number)

    async def write_first(self, number: int, slots: Mapping[int, Slot]) -> None:
        """As the rows of the owner to be, so that none of one before counts for more; they hand over what was."""
        writes = [
            self._store.write_slot(number, at, slot._replace(ledger=_of_next_owner(slot.ledger)))
            for at, slot in slots.items()
            if slot.group
        ]
        for written in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(written, BaseException):
                raise written

    def assign(self, number: int, slots: Mapping[int, Slot]) -> None:
        self._slots[number] = Slots(slots)
        there = [(self._new(slot.group), slot.ledger) for slot in slots.values() if slot.group]
        for _, ledger in there:
            self._intake.start_at(number, ledger.floor)
        for group, ledger in there:
            self._intake.assign_group(group.dispatcher, number, ledger)
            group.dispatcher.take_over(number, ledger.handed_over, monotonic())
            group.commit.assign(number)
            group.joined.add(number)
        self._opening.begin(number)

    def drop(self, number: int) -> None:
        self._opening.end(number)
        for group in self._groups.values():
            self._abandon(group, number)
            if number in group.joined:
                group.joined.discard(number)
                group.commit.drop(number)
        self._slots.pop(number, None)

    def in_era(self, number: int, base: LedgerSnapshot) -> dict[int, Slot]:
        slots = self._slots[number]
        return {
            seat.number: Slot(seat.claim, group.name, base)
            for group in self._groups.values()
            if number in group.joined and (seat := slots.of(group.name)) is not None
        }

    def in_flight(self, number: int) -> int:
        there = (group.dispatcher.partitions.get(number) for group in self._groups.values())
        return sum(len(partition.in_flight) for partition in there if partition is not None)

    def kick(self, within: float = 0.0) -> None:
        for queue in (self._base, *self._groups.values()):
            queue.commit.kick(within)

    def _kick_quietly(self) -> None:
        for group in self._groups.values():
            group.commit.kick_quietly()

    async def write_last(self, timeout: float) -> None:
        await asyncio.gather(*(group.commit.write_last(timeout) for group in self._groups.values()))

    async def write_all(self, timeout: float) -> bool:
        return all(await asyncio.gather(*(group.commit.write_all(timeout) for group in self._groups.values())))

    def _follow(self, number: int) -> None:
        """The floor of a partition is the lowest that the changelog has, or may soon have, of a group."""
        base = self._intake.partitions.get(number)
        if base is None:
            return
        floors = [self._floor(group, number) for group in self._groups.values()]
        floor = min((floor for floor in floors if floor is not None), default=base.next_offset)
        if floor > base.ledger.floor:
            base.ledger.settle_range(base.ledger.floor, floor)
            self._base.commit.kick_quietly()

    @staticmethod
    def _floor(group: _Group, number: int) -> int | None:
        if number in group.joined:
            return group.commit.floor(number)
        joining = group.dispatcher.partitions.get(number)
        return joining.ledger.floor if joining is not None else None

    # Going -----------------------------------------------------------------------------------------------------------

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(min(_LOOK_EVERY, self._limits.client_ttl / 4))
            now = monotonic()
            if self._moved.is_set() and self._terms.holds(self._terms.term(), now):
                for group in list(self._groups.values()):
                    if group.dispatcher.clients.groups_alive(now) or group.name in self._elsewhere:
                        self._join_where_not(group, self._intake.partitions.keys())
                    elif now >= group.due:
                        self._drop(group)

    def _join_where_not(self, group: _Group, numbers: Set[int]) -> list[asyncio.Task[None]]:
        try:
            return self._joins(group, numbers - group.joined)
        except GroupsFullError:
            logger.debug("group %s has no place in a partition yet", group.name)
            return []

    async def _let_in(self, number: int, groups: Set[str]) -> bool:
        """See `Opening`. Of a group that has gone in the meantime nothing is asked."""
        there = [self._new(name) for name in groups]
        joining = [task for group in there for task in self._join_where_not(group, {number})]
        if joining:
            await asyncio.wait(joining)
        return all(number in group.joined for group in there if group.name in self._groups)

    def _partition_opened(self) -> None:
        self._base.commit.kick_quietly()
        self._base.take_more()

    def _drop(self, group: _Group) -> None:
        logger.info("group %s has gone, and what it has not settled with it", group.name)
        del self._groups[group.name], self._by_hash[hash_of(group.name)], self._intake.groups[group.name]
        self.gone = summed((self.gone, group.dispatcher.counters))
        gone = self._gone_windows[group.name] = Windows()
        gone.go_on_from(group.dispatcher.leases.windows)
        if len(self._gone_windows) > _REMEMBERED:
            del self._gone_windows[next(iter(self._gone_windows))]
        now, term = monotonic(), self._terms.term()
        for number in list(group.joining):
            self._abandon(group, number)
        for number in group.joined:
            group.commit.drop(number)
        for number, slots in self._slots.items():
            if number in group.dispatcher.partitions:
                group.dispatcher.drop(number, now)
            seat = slots.free(group.name)
            if seat is not None:
                tenure = self._intake.partitions[number].ledger.tenure
                self._tasks.start(self._write_free(number, seat, tenure, term), f"free-{number}/{seat.number}")
            self._follow(number)
        group.pulls.end_all()
        group.pulls.stop()
        self._tasks.start(group.commit.stop(), "stop-group")

    async def _write_free(self, number: int, seat: Seat, tenure: int, term: int) -> None:
        """Nobody waits for it: where it is never written the group is there again, and goes again, at the next owner.

        A group that has claimed the slot since writes its own row behind this one, or before it, and counts for more.
        """
        while term == self._terms.term():
            try:
                await self._store.write_slot(number, seat.number, Slot(seat.claim, "", LedgerSnapshot(tenure=tenure)))
            except WriteError:
                await asyncio.sleep(_BACKOFF)
            else:
                return

    async def stop(self) -> None:
        await asyncio.gather(*(group.commit.stop() for group in self._groups.values()))

    async def settle(self, settle: Settle, until: float | None = None) -> SettleOutcome:
        """Each entry is of the group that its batch was handed out to."""
        return await self._settles.settle(settle, until)


def broadcasting(limits: Limits, options: Options) -> tuple[Groups, LedgerGroup]:
    """The groups of a worker, and the queue that has its partitions and serves nobody."""
    intake = Passing(limits, address(options.id, options.topic))
    base = LedgerGroup(intake)
    return Broadcast(base, intake), base


def _of_next_owner(ledger: LedgerSnapshot) -> LedgerSnapshot:
    return replace(ledger, tenure=ledger.tenure + 1)
