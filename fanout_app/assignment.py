"""How partitions come to this worker and leave it: assigned, revoked, kept through a rebalance, begun anew by a seek.

Rules for this file: nothing of a partition is handed out before the changelog has the row that it begins with, and
nothing of an assignment outlives the term it was made in (`Terms`): whatever was awaited, the term is looked at again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from time import monotonic

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.errors import LeasesLiveError, NotOwnedError, UnavailableError
from fanout_app.core.group_row import Slot
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger
from fanout_app.core.requests import SeekTo
from fanout_app.core.start import Start
from fanout_app.group_commit import GroupCommit
from fanout_app.groups import Followers
from fanout_app.patience import Patience
from fanout_app.ports import Source, SourceError, Starts, Terms, WriteError
from fanout_app.tasks import Tasks

logger = logging.getLogger("fanout.assignment")

#: Seconds in which what Kafka has refused is tried again before the worker ends. Where it does not answer at all there
#: is no such limit: nobody else could begin the partition either.
_START_WRITE_FOR = 15.0
_LAST_ROWS_FOR = 2.0
_BACKOFF = 0.2
#: Seconds an operator waits for a seek before he is told that Kafka does not answer; it is tried on all the same.
_SEEK_ANSWERED = 10.0


class Assignment:
    """The partitions of one worker, and the rebalances that change them."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        commit: GroupCommit,
        *,
        source: Source,
        starts: Starts,
        terms: Terms,
        tasks: Tasks,
        moved: asyncio.Event,
        groups: Followers,
        serve: Callable[[], None],
    ) -> None:
        """``moved`` is set while no rebalance is under way; ``serve`` is called when there may be more to hand out.

        ``groups`` follow: those that have ledgers of their own, which come and go with the partition's.
        """
        self._dispatcher = dispatcher
        self._commit = commit
        self._source = source
        self._starts = starts
        self._terms = terms
        self._tasks = tasks
        self._groups = groups
        self._serve = serve
        self._member = ""
        #: Generation of the consumer group that the partitions were assigned in.
        self.generation = 0
        #: No rebalance is under way.
        self.moved = moved
        self._beginning: set[int] = set()
        #: The group was left for good.
        self.left = False

    def owned(self) -> tuple[int, ...]:
        """The partitions that this worker can serve: none while a rebalance is under way, none once it has left."""
        return tuple(sorted(self._dispatcher.partitions)) if self.moved.is_set() and not self.left else ()

    # Rebalances ------------------------------------------------------------------------------------------------------

    def suspend(self) -> None:
        """A rebalance has begun: nothing is handed out, settles wait, everything stays in memory."""
        self._dispatcher.suspend()
        self._groups.suspend()
        if not self.left:
            self.moved.clear()

    async def give_up(self) -> None:
        """The partitions may go to others in this rebalance: leave them what they need to know."""
        self.suspend()
        await asyncio.gather(self._commit.write_last(_LAST_ROWS_FOR), self._groups.write_last(_LAST_ROWS_FOR))

    def assigned(self, numbers: set[int], generation: int) -> None:
        """An assignment was made, and may be followed by another one before `start` is called for it.

        What is kept in memory is kept only by who was a member in every generation since: otherwise somebody else may
        have had the partition meanwhile, and settled what we would hand out again.
        """
        if self.left:
            return
        member = self._source.member()
        stayed = member == self._member and generation == self.generation + 1
        self._member, self.generation = member, generation
        kept = numbers & self._dispatcher.partitions.keys() if stayed else set()
        for number in self._dispatcher.partitions.keys() - kept:
            self._drop(number)

    def leave(self, *, forget: bool) -> None:
        """The group is left for good: nothing is ours any more, whatever assignment is still under way.

        Without ``forget`` the floors stay, for who commits them last.
        """
        self.suspend()
        self.left = True
        for number in list(self._dispatcher.partitions) if forget else ():
            self._drop(number)
        self.moved.set()

    async def start(self, numbers: set[int]) -> bool:
        """Recovery is over, and these partitions are ours. False if that is over already.

        Raises:
            KafkaError, RowError: the start cannot be found out; the worker must end rather than guess.
            SourceError, WriteError: the commit or the row that a partition begins with could not be written.
        """
        if self.left:
            return False
        term = self._terms.term()
        starts = await self._starts.find(numbers - self._dispatcher.partitions.keys())
        await asyncio.gather(*(self._begin(number, start, term) for number, start in starts.items()))
        if self.left or not self._terms.rebalance_ended(term):
            return False
        for number in self._dispatcher.partitions:
            self._dispatcher.resume(number)
        self.moved.set()
        logger.info("partitions of this worker: %s", sorted(self._dispatcher.partitions) or "none")
        self._groups.kick()
        self._serve()
        return True

    async def _begin(self, number: int, start: Start, term: int) -> None:
        if term != self._terms.term():
            return  # the next rebalance has begun already, and will start it anew
        snapshot = start.snapshot
        try:
            if start.mark:
                await self._until_taken(partial(self._source.commit, number, snapshot.floor, snapshot.era), term)
                snapshot = replace(snapshot, committed=snapshot.floor)
            if start.write:
                first = replace(snapshot, handed_over=())
                await self._until_taken(partial(self._commit.write_first, number, first), term)
            await self._until_taken(partial(self._groups.write_first, number, start.slots), term)
        except (SourceError, WriteError):
            if term == self._terms.term():
                raise
        if term != self._terms.term():
            return
        self._take_on(number, snapshot, start.slots)
        for warning in start.warnings:
            logger.warning("partition %d: %s", number, warning)
        for error in start.errors:
            logger.error("partition %d: %s", number, error)
        self._dispatcher.counters.lost_to_retention += start.lost

    async def _until_taken(self, tell_kafka: Callable[[], Awaitable[None]], term: int) -> None:
        """Try to get into Kafka what a partition begins with.

        Raises:
            SourceError, WriteError: it was refused, and still is after ``_START_WRITE_FOR`` seconds, or a rebalance
                began before it was taken: tried again then, it might take back what the next owner settles.
        """
        patience = Patience(_START_WRITE_FOR)
        while True:
            try:
                return await tell_kafka()
            except (SourceError, WriteError) as error:
                await asyncio.sleep(_BACKOFF)
                if patience.is_over(refused=error.refused) or term != self._terms.term():
                    raise

    def _take_on(self, number: int, snapshot: LedgerSnapshot, slots: Mapping[int, Slot]) -> None:
        self._dispatcher.assign(number, snapshot).suspended = True
        leased = self._dispatcher.take_over(number, snapshot.handed_over, monotonic())
        if leased:
            logger.debug("partition %d: %d messages are still with clients of its last owner", number, leased)
        self._commit.assign(number)
        self._groups.assign(number, slots)
        logger.debug("partition %d: starting at %d, era %d", number, snapshot.floor, snapshot.era)

    def _drop(self, number: int) -> None:
        self._groups.drop(number)
        self._commit.drop(number)
        self._dispatcher.drop(number, monotonic())

    # Begun anew ------------------------------------------------------------------------------------------------------

    async def begin_again(self, numbers: Iterable[int]) -> None:
        """The logs of these partitions are not what was read of them: find out anew where they start.

        Raises:
            KafkaError, RowError, SourceError, WriteError: as `start`.
        """
        term = self._terms.term()
        for number in numbers:
            if term != self._terms.term() or not self.moved.is_set():
                return  # whoever starts them next finds out by himself
            if number not in self._dispatcher.partitions or number in self._beginning:
                continue
            logger.error("partition %d: its log is not the one that was read so far", number)
            self._beginning.add(number)
            self._drop(number)
            try:
                starts = await self._starts.find({number})
                await self._begin(number, starts[number], term)
                await self._go_on(number, term)
            finally:
                self._beginning.discard(number)

    async def seek(self, number: int | None, to: SeekTo, *, force: bool) -> dict[int, int]:
        """Begin a new era at another offset of this partition, or of all.

        Returns:
            Partition -> the offset it stands at.

        Raises:
            NotOwnedError: the partition is not ours, or a rebalance is under way or has come between.
            LeasesLiveError: clients hold messages of it, and ``force`` does not say that this does not matter.
            UnavailableError: Kafka does not answer. Where the seek had begun it is tried on until it is done.
        """
        term = self._terms.term()
        numbers = self._to_seek(number, force=force)
        offsets = await self._source.offsets_at(numbers, to)
        if term != self._terms.term() or self._to_seek(number, force=force) != numbers:
            raise NotOwnedError("partitions moved while the offset was looked up: seek again")
        self._beginning |= numbers
        seeking = [
            self._tasks.start(self._seek(moved, offset, term), f"seek-{moved}") for moved, offset in offsets.items()
        ]
        done, late = await asyncio.wait(seeking, timeout=_SEEK_ANSWERED)
        if not all(one.result() for one in done if not one.cancelled()):
            raise NotOwnedError(
                "partitions moved during the seek, and not all of them may have been sought: seek again"
            )
        if late:
            raise UnavailableError("Kafka has not taken the new offsets yet; they are tried until it does")
        return offsets

    def may_seek(self, number: int | None, *, force: bool) -> None:
        """Raises what `seek` would raise before anything is changed."""
        self._to_seek(number, force=force)

    def _to_seek(self, number: int | None, *, force: bool) -> set[int]:
        partitions = self._dispatcher.partitions
        numbers = set(partitions) if number is None else {number}
        if not self.moved.is_set() or not numbers <= partitions.keys() or numbers & self._beginning or not numbers:
            raise NotOwnedError("not this worker's partition, or it is moving: ask its owner, or again in a moment")
        held = sum(map(self._groups.in_flight, numbers))
        if held and not force:
            raise LeasesLiveError(f"{held} messages are held by clients: wait for them, pause first, or seek by force")
        return numbers

    async def _seek(self, number: int, offset: int, term: int) -> bool:
        """Move one partition. It is nobody's until the changelog has the new era, which may take as long as Kafka does.

        Going on in the old era after a write whose outcome is unknown would settle what the next start forgets.
        Answers False if the term ended first: where the partition is then, its next start finds out.
        """
        try:
            if term != self._terms.term():
                return False
            ledger = PartitionLedger(self._dispatcher.partitions[number].snapshot())
            ledger.begin_era(offset)
            slots = self._groups.in_era(number, ledger.snapshot())
            self._drop(number)
            if not await self._written(number, partial(self._commit.write_first, number, ledger.snapshot()), term):
                return False
            if not await self._written(number, partial(self._groups.write_first, number, slots), term):
                return False
            self._take_on(number, ledger.snapshot(), slots)
            logger.warning("partition %d: seek to %d, era %d", number, offset, ledger.era)
            await self._go_on(number, term)
            return True
        finally:
            self._beginning.discard(number)

    async def _written(self, number: int, write: Callable[[], Awaitable[None]], term: int) -> bool:
        """Write rows that a partition begins with, for as long as it takes; False if the term ends first."""
        while term == self._terms.term():
            try:
                await self._until_taken(write, term)
            except WriteError as error:
                logger.warning("partition %d: the row of its new era is not written yet: %s", number, error)
            else:
                return term == self._terms.term()
        return False

    async def _go_on(self, number: int, term: int) -> None:
        """Read a partition from where it stands now."""
        partition = self._dispatcher.partitions.get(number)
        if partition is None or term != self._terms.term():
            return
        try:
            await self._source.seek(number, partition.next_offset)
        except SourceError as error:
            logger.debug("partition %d: not sought yet, the first fetch will show it: %s", number, error)
        if term == self._terms.term():
            self._dispatcher.resume(number)
            self._groups.kick()
            self._source.wake_up()
            self._serve()
