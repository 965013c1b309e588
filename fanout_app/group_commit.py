"""Group commit: settles gather while a row is under way, and one write takes them all.

A settle may be answered once a row that covers it is in the changelog *and* this worker still owned the partition when
that was known. A write whose acknowledgement finds the ownership gone proves nothing: the row counts as not written,
and is written again if the partition stays or comes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple, Protocol

from fanout_app.alarm import Alarm
from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.ports import LedgerStore, Ownership, WriteError

logger = logging.getLogger("fanout.group_commit")


#: Bytes of rows a second that gathering aims at: larger rows are written less often.
_ROW_BYTES_A_SECOND = 2_000_000
#: Seconds between two flushes at the least. With 2 ms an ack took up to 1 ms longer at 500 a second, and drains cost as
#: much.
_UNDER_LOAD = 0.001
_BACKOFF = 0.2
#: A count of failed deliveries that rose is written within this, even if nothing is settled.
QUIET = 1.0
_STOP = 2.0


class Waiter(Protocol):
    """Who waits for a row. A future is one."""

    def done(self) -> bool:
        """It waits no longer."""

    def set_result(self, written: bool) -> None:
        """The row is in the changelog and the partition still ours; False: whether it is, is not known."""


class _Wait(NamedTuple):
    version: int
    until: float


class _Line:
    """One partition's place in the group commit."""

    __slots__ = ("durable", "floor", "size", "waiters", "writing")

    def __init__(self, version: int, floor: int) -> None:
        self.durable = version
        self.floor = floor
        #: The write under way.
        self.writing: asyncio.Task[None] | None = None
        self.size = 0
        #: Who waits for which version, and until when.
        self.waiters: dict[Waiter, _Wait] = {}


class GroupCommit:
    """Writes the ledgers of all partitions, each at most once at a time."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        store: LedgerStore,
        ownership: Ownership,
        on_fault: Callable[[BaseException], None],
    ) -> None:
        """``on_fault`` is told of an error of a write that is no `WriteError`: the partition would never be written."""
        self._dispatcher = dispatcher
        self._store = store
        self._ownership = ownership
        self._on_fault = on_fault
        self._lines: dict[int, _Line] = {}
        self._writes: set[asyncio.Task[None]] = set()
        #: Partitions whose last row was not taken; the first of them has been told.
        self._refused: set[int] = set()
        self._alarm = Alarm(self._flush)
        self._patience = Alarm(self._give_up_late)
        self._last_flush = 0.0
        #: Bytes of the largest of the rows that were written last.
        self._largest = 0
        #: Told how long each acknowledged write took, in seconds.
        self.on_commit_seconds: Callable[[float], None] = lambda seconds: None
        #: Told of each write that was not acknowledged.
        self.on_commit_failed: Callable[[], None] = lambda: None
        #: Told of the partition and the size in bytes of each acknowledged row.
        self.on_row: Callable[[int, int], None] = lambda partition, size: None

    def assign(self, partition: int) -> None:
        """Begin with a partition whose ledger is in the changelog as it stands."""
        ledger = self._dispatcher.partitions[partition].ledger
        self._lines[partition] = _Line(ledger.version, ledger.floor)

    async def write_first(self, partition: int, snapshot: LedgerSnapshot) -> None:
        """Write the row of a partition that is about to begin, before anything of it is handed out.

        Raises:
            WriteError: it was not acknowledged.
        """
        await self._store.write_row(partition, snapshot)

    def drop(self, partition: int) -> None:
        """The partition is somebody else's: who waits for a write of it learns that its outcome is not known."""
        _give_up_all(self._lines.pop(partition))
        self._largest = max([one.size for one in self._lines.values()], default=0)
        self._refused.discard(partition)

    def committable(self) -> dict[int, int]:
        """Floors that the changelog has acknowledged."""
        return {partition: line.floor for partition, line in self._lines.items()}

    def floor(self, partition: int) -> int:
        """That of one of them."""
        return self._lines[partition].floor

    async def written(self, partition: int, version: int, timeout: float) -> bool:
        """Wait until a row of this version or later is in the changelog and the partition still ours.

        Returns:
            False if that did not come about within ``timeout`` seconds: the outcome is unknown.
        """
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.tell(waiter, partition, version, monotonic() + timeout)
        try:
            return await waiter
        finally:
            self.tell_no_more(waiter, partition)

    def tell(self, waiter: Waiter, partition: int, version: int, until: float) -> None:
        """The same for who cannot await it: ``waiter`` is told, maybe at once; ``until`` is of the monotonic clock."""
        line = self._lines.get(partition)
        if line is None:
            waiter.set_result(False)
        elif line.durable >= version and self._ownership.holds(self._ownership.term(), monotonic()):
            waiter.set_result(True)
        else:
            line.waiters[waiter] = _Wait(version, until)
            self.kick()
            self._patience.at(until)

    def tell_no_more(self, waiter: Waiter, partition: int) -> None:
        """While Kafka takes nothing, requests come and give up one after the other."""
        line = self._lines.get(partition)
        if line is not None:
            line.waiters.pop(waiter, None)

    def _give_up_late(self) -> None:
        """One timer for all that wait, and not one for each: nearly all of them have long been answered by then."""
        now = monotonic()
        for line in self._lines.values():
            for waiter, wait in list(line.waiters.items()):
                if wait.until <= now:
                    _give_up(waiter)
                else:
                    self._patience.at(wait.until)

    def kick(self, within: float = 0.0) -> None:
        """Something has changed: write it soon, at the latest ``within`` seconds from now."""
        now = monotonic()
        at = max(now + within, self._last_flush + self._gathering())
        if at > now:
            self._alarm.at(at)
        else:
            self._alarm.soon()

    def kick_quietly(self) -> None:
        self.kick(QUIET)

    def _gathering(self) -> float:
        """Seconds between flushes under load. After a pause they are over, and a settle waits for nothing."""
        return max(_UNDER_LOAD, self._largest / _ROW_BYTES_A_SECOND)

    def _flush(self) -> None:
        self._last_flush = monotonic()
        for number, line in self._lines.items():
            partition = self._dispatcher.partitions[number]
            if line.writing is not None or partition.suspended or not self._owes(line, partition.ledger.version):
                continue
            task = line.writing = asyncio.get_running_loop().create_task(self._write(number, line))
            self._writes.add(task)
            task.add_done_callback(self._write_ended)

    def _write_ended(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fault(error)

    @staticmethod
    def _owes(line: _Line, version: int) -> bool:
        return line.durable < version or any(not waiter.done() for waiter in line.waiters)

    async def _write(self, number: int, line: _Line) -> None:
        if self._lines.get(number) is not line:
            return  # given up since this write was planned
        partition = self._dispatcher.partitions[number]
        ledger = partition.ledger
        version, floor, term, began = ledger.version, ledger.floor, self._ownership.term(), monotonic()
        try:
            line.size = await self._store.write_row(number, partition.snapshot())
            self._largest = max([one.size for one in self._lines.values()], default=0)
        except WriteError as error:
            self.on_commit_failed()
            self._not_taken(number, error)
            proven = False
        else:
            self._taken(number)
            proven = self._ownership.holds(term, monotonic()) and self._lines.get(number) is line
        line.writing = None
        if proven:
            self.on_commit_seconds(monotonic() - began)
            line.durable, line.floor = version, floor
            self.on_row(number, line.size)
            self._wake(line)
        if self._lines.get(number) is line and self._owes(line, self._dispatcher.partitions[number].ledger.version):
            self.kick(0.0 if proven else _BACKOFF)

    def _not_taken(self, number: int, error: WriteError) -> None:
        level = logging.DEBUG if self._refused else logging.WARNING
        logger.log(level, "Kafka takes no ledger row of partition %d, durable settles are answered with retry until it "
                   "does: %s", number, error)  # fmt: skip
        self._refused.add(number)

    def _taken(self, number: int) -> None:
        if self._refused:
            self._refused.discard(number)
            if not self._refused:
                logger.warning("Kafka takes ledger rows again")

    @staticmethod
    def _wake(line: _Line) -> None:
        # Some go on here and now, and may come to wait again or have others end.
        for waiter, wait in list(line.waiters.items()):
            if wait.version <= line.durable:
                there = line.waiters.pop(waiter, None) is not None
                if there and not waiter.done():
                    waiter.set_result(True)

    async def write_last(self, timeout: float) -> None:
        """Before partitions are given up, and suspended by now: write for whoever has them next what is not written
        yet, and what he is to hold back.

        Nobody is answered because of these rows: whether they were in time only the next owner knows.
        """
        now = monotonic()
        # Who was away for longer than anyone waits for him hands nothing over: others have given it out again.
        trusted = self._ownership.trusted(now)
        writes = []
        left_out = 0
        for number, line in self._lines.items():
            partition = self._dispatcher.partitions[number]
            snapshot, too_many = self._dispatcher.last_snapshot(number, now) if trusted else (partition.snapshot(), 0)
            left_out += too_many
            if snapshot.handed_over or line.durable < partition.ledger.version:
                writes.append(asyncio.create_task(self._write_last(number, line, snapshot)))
        if left_out:
            logger.warning("%d runs of leases or delays do not fit into the last rows (--max-row-bytes) and end now",
                           left_out)  # fmt: skip
        if not writes:
            return
        done, late = await asyncio.wait(writes, timeout=timeout)
        for write in late:
            write.cancel()
        failed = [error for write in done if (error := write.exception()) is not None]
        if late or failed:
            logger.warning("%d of %d last rows were not written: some messages that are acked, or with a client, may "
                           "come again", len(late) + len(failed), len(writes))  # fmt: skip

    async def _write_last(self, number: int, line: _Line, snapshot: LedgerSnapshot) -> None:
        """Not beside a write that is under way: that one, without leases, might come to lie above this one."""
        if line.writing is not None:
            await asyncio.wait({line.writing})
        await self._store.write_row(number, snapshot)

    async def write_all(self, timeout: float) -> bool:
        """Before stopping: get every ledger into the changelog. False if not all of them made it."""
        waits = [
            self.written(number, self._dispatcher.partitions[number].ledger.version, timeout) for number in self._lines
        ]
        return all(await asyncio.gather(*waits))

    async def stop(self) -> None:
        self._alarm.cancel()
        self._patience.cancel()
        # The lines stay: the consumer stops after this, and the floors are the last thing it commits.
        for line in self._lines.values():
            _give_up_all(line)
        if self._writes:
            _, late = await asyncio.wait(set(self._writes), timeout=_STOP)
            for write in late:
                write.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _give_up(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(False)


def _give_up_all(line: _Line) -> None:
    for waiter in list(line.waiters):
        _give_up(waiter)
