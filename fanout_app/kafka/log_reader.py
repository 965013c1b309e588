"""A second reader: records at offsets that are known already, outside the consumer group.

For bodies that were let go of and are wanted again, and for looking whether a record is still the one it was. An offset
counts as missing only if that is certain, since who asks may settle it: reading has gone past it, it lies below the
start of the log, or beyond its end in several readings (a new leader may lag for a moment).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from fanout_app.core.message import Message
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.log_client import READ_COMMITTED, READ_UNCOMMITTED, LogClient, Part
from fanout_app.ports import SourceError

#: Two offsets that are further apart than this are two questions: what lies between is not read on the way.
_GAP = 500
_MAX_BYTES = 1 << 20
_BYTES_A_RECORD = 16 << 10
_PARTITIONS_AT_ONCE = 100
_END_READINGS = 3
_END_PAUSE = 0.3
_PATIENCE = 10.0


@dataclass(slots=True)
class _Look:
    """What one look at a partition told."""

    found: dict[int, Message] = field(default_factory=dict)
    #: Every offset below this that was asked for and not found is missing.
    certain: int = 0
    #: The offset asked for is beyond the end of the log, as far as its leader knows.
    beyond: bool = False
    #: It belongs to a transaction that is still open.
    open: bool = False
    #: Why it cannot be read although it may be there.
    unreadable: Exception | None = None
    #: Its batch does not fit into an answer beside others.
    cut: bool = False


class LogReader:
    """Reads records of one topic, one question at a time for each partition."""

    def __init__(self, brokers: Brokers, topic: str, isolation_level: str = "read_committed") -> None:
        self._client = LogClient(brokers, topic)
        self._isolation = READ_COMMITTED if isolation_level == "read_committed" else READ_UNCOMMITTED
        #: None: for questions about many partitions.
        self._locks: defaultdict[int | None, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def stop(self) -> None:
        await self._client.stop()

    async def read(self, partition: int, offsets: Sequence[int]) -> dict[int, Message]:
        """The records at these offsets, which ascend. One that is not in the answer does not exist (any more).

        Raises:
            SourceError: Kafka did not answer within 10 s, or what is there cannot be read.
        """
        found: dict[int, Message] = {}
        at, beyond = 0, 0
        deadline = monotonic() + _PATIENCE
        async with self._locks[partition]:
            while at < len(offsets):
                run = _run(offsets, at)
                look = (await self._look({partition: run}))[partition]
                found |= look.found
                beyond = beyond + 1 if look.beyond else 0
                if beyond == _END_READINGS:
                    break
                if look.unreadable is not None:
                    raise _unreadable(partition, run[0], look.unreadable)
                if look.certain > run[0]:
                    at += sum(offset < look.certain for offset in run)
                    deadline = monotonic() + _PATIENCE
                elif monotonic() > deadline:
                    raise SourceError(f"offset {run[0]} of partition {partition} cannot be read at the moment")
                else:
                    await asyncio.sleep(_END_PAUSE)
        return found

    async def read_each(self, at: Mapping[int, Sequence[int]]) -> dict[tuple[int, int], Message | None]:
        """The record at each of these offsets (partition -> offsets); None where there is none that can be read.

        Raises:
            SourceError: Kafka did not answer within 10 s.
        """
        answers: dict[tuple[int, int], Message | None] = {}
        async with self._locks[None]:
            for index in range(max(map(len, at.values()), default=0)):
                wanted = [(number, offsets[index]) for number, offsets in at.items() if index < len(offsets)]
                for first in range(0, len(wanted), _PARTITIONS_AT_ONCE):
                    answers |= await self._read_ones(dict(wanted[first : first + _PARTITIONS_AT_ONCE]))
        return answers

    async def scan(self, partition: int, offset: int) -> AsyncIterator[Message]:
        """The records from this offset, or from the start of the log if that is higher, up to the end it has now.

        Raises:
            SourceError: Kafka did not answer within 10 s, or what is there cannot be read.
        """
        start, end = (await self._client.bounds([partition]))[partition]
        at = max(offset, start)
        while at < end:
            async with self._locks[partition]:
                part = (await self._client.fetch({partition: at}, _MAX_BYTES, self._isolation))[partition]
            if part.records is None:
                start, end = (await self._client.bounds([partition]))[partition]
                at = max(at, start)
                continue
            for record in part.records:
                yield record
            if part.records.unreadable is not None:
                raise _unreadable(partition, part.records.next_fetch_offset, part.records.unreadable)
            if part.records.next_fetch_offset == at:
                return  # behind this are open transactions
            at = part.records.next_fetch_offset

    async def bounds(self, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Where these logs start and end. The end is the high watermark, whatever the isolation level.

        Raises:
            SourceError: Kafka did not answer within 10 s.
        """
        return await self._client.bounds(partitions)

    # Looking ---------------------------------------------------------------------------------------------------------

    async def _read_ones(self, wanted: dict[int, int]) -> dict[tuple[int, int], Message | None]:
        answers: dict[tuple[int, int], Message | None] = {}
        deadline = monotonic() + _PATIENCE
        readings = 0
        while wanted:
            looks = await self._look({number: [offset] for number, offset in wanted.items()})
            for number, look in list(looks.items()):
                if look.cut:
                    looks |= await self._look({number: [wanted[number]]})
            readings += 1
            for number, look in looks.items():
                offset = wanted[number]
                beyond = look.beyond and readings >= _END_READINGS
                if look.certain > offset or look.open or beyond or look.unreadable is not None:
                    answers[number, offset] = look.found.get(offset)
                    del wanted[number]
            if wanted:
                if monotonic() > deadline:
                    raise SourceError(
                        f"records of partitions {sorted(wanted)} cannot be read at the moment", refused=True
                    )
                await asyncio.sleep(_END_PAUSE)
        return answers

    async def _look(self, wanted: Mapping[int, Sequence[int]]) -> dict[int, _Look]:
        """Ask once for the first of these offsets in each partition, and take along what comes with it."""
        first = {number: offsets[0] for number, offsets in wanted.items()}
        most = max(map(len, wanted.values()))
        parts = await self._client.fetch(first, min(_MAX_BYTES, most * _BYTES_A_RECORD), self._isolation)
        looks = {number: _pick(part, wanted[number]) for number, part in parts.items()}
        unclear = [
            number
            for number, look in looks.items()
            if look.certain <= first[number] and not look.cut and look.unreadable is None
        ]
        for number, (start, end) in (await self._client.bounds(unclear)).items() if unclear else ():
            looks[number].certain = max(looks[number].certain, start)
            looks[number].beyond = first[number] >= end
        return looks


def _run(offsets: Sequence[int], at: int) -> Sequence[int]:
    """From this index on, those that lie close enough together to be read in one go."""
    end = at + 1
    while end < len(offsets) and offsets[end] - offsets[end - 1] <= _GAP:
        end += 1
    return offsets[at:end]


def _pick(part: Part, wanted: Sequence[int]) -> _Look:
    if part.records is None:
        return _Look()
    found: dict[int, Message] = {}
    remaining = set(wanted)
    for record in part.records:
        if record.offset in remaining:
            found[record.offset] = record
        if record.offset >= wanted[-1]:
            break
    at = part.records.next_fetch_offset
    return _Look(
        found,
        certain=at,
        unreadable=part.records.unreadable if at <= wanted[0] else None,
        open=part.last_stable <= wanted[0] < part.highwater,
        cut=part.cut,
    )


def _unreadable(partition: int, offset: int, error: Exception) -> SourceError:
    return SourceError(f"partition {partition} cannot be read from offset {offset} on: {error!r}")
