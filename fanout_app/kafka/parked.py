"""The parked messages of an id and topic: a compacted topic of one partition, from which they are sent back.

Rules for this file: a message is forgotten (its key deleted) only after it is back in the topic and that is
acknowledged. What lies between may happen twice and is never lost. In memory is an index alone, about 200 bytes a
message, from the first look on; bodies are read when they are wanted, a few at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence, Set
from itertools import islice

from pyroaring import BitMap64

from fanout_app.core.message import Message
from fanout_app.core.parked import REDRIVEN_FOR, ParkedMessage, Redriven, address
from fanout_app.kafka import parked_record
from fanout_app.kafka.log_reader import LogReader
from fanout_app.kafka.writer import TooLargeError, Writer
from fanout_app.ports import SourceError

logger = logging.getLogger("fanout.kafka.parked")

#: Bodies that are in memory at once.
_BODIES = 16
#: Seconds in which as many must be back in the topic.
_WRITE_FOR = 20.0


class ParkedTopic:
    """The runtime's `Parked`, and its `DeadLetterSink` where no dead-letter topic is given."""

    def __init__(self, reader: LogReader, writer: Writer, *, id: str, parked: str, source: str) -> None:
        self._reader = reader
        self._writer = writer
        self._id = id
        self._parked = parked
        self._source = source
        self._index = _Index()
        self._reading = asyncio.Lock()
        self._redriving = asyncio.Lock()

    async def put(
        self, partition: int, message: Message, *, delivery_count: int, reason: str, client: str, group: str = ""
    ) -> None:
        """Write it with ``acks=all``.

        Raises:
            SourceError: it was not acknowledged; the message must not be settled.
        """
        record = parked_record.encode(
            self._source, partition, message, delivery_count=delivery_count, reason=reason, client=client, group=group
        )
        await self._writer.write(self._parked, key=record.key, value=record.value, headers=record.headers, partition=0)

    async def list(self, limit: int, after: int) -> Sequence[ParkedMessage]:
        """Up to ``limit`` messages whose name is above ``after``, ascending; -1 begins at the first.

        Raises:
            SourceError: Kafka does not answer.
        """
        await self._look()
        page: list[ParkedMessage] = []
        while names := self._index.after(after, limit - len(page)):
            records = await self._read(names)
            page += [parked_record.decode(record) for record in records.values()]
            after = names[-1]
        return page

    async def redrive(self, parked: Sequence[int] | None, groups: Set[str] | None = None) -> Redriven:
        """Write these, or all, back to the topic, and forget each once that is acknowledged; see `Parked.redrive`.

        ``groups`` are those that are there: what is for another one stays. None: it is not asked whom they are for.

        Raises:
            SourceError: Kafka does not answer; some of them may be back, none is lost.
        """
        async with self._redriving:
            await self._look()
            wanted = sorted(set(self._index.names if parked is None else parked))
            there = [name for name in wanted if name in self._index.names]
            not_found = set(wanted) - set(there) if parked is not None else set()
            no_group: list[int] = []
            redriven = 0
            refused: Sequence[int] = ()
            numbers = await self._writer.partitions(self._source) if there else set()
            for first in range(0, len(there), _BODIES):
                names = there[first : first + _BODIES]
                records = await self._read(names)
                not_found |= set(names) - records.keys() if parked is not None else set()
                if groups is not None:
                    gone = [n for n, one in records.items() if parked_record.decode(one).group not in ("", *groups)]
                    no_group += gone
                    for name in gone:
                        del records[name]
                back = await self._send_back(records, numbers)
                redriven += len(records) - len(back)
                refused = [*refused, *back]
        if redriven:
            logger.info("%d parked messages are back in %s", redriven, self._source)
        if refused:
            raise SourceError(f"parked messages {refused} stay, the others are back: topic {self._source} takes no "
                              "message of their size, raise its max.message.bytes")  # fmt: skip
        return Redriven(redriven, sorted(not_found), no_group if groups is not None else None)

    # Sending back ----------------------------------------------------------------------------------------------------

    async def _send_back(self, records: dict[int, Message], numbers: set[int]) -> Sequence[int]:
        """Write these to the topic, in this order for each partition, then forget them. Answers those not taken."""
        try:
            async with asyncio.timeout(_WRITE_FOR):
                outcomes = await asyncio.gather(
                    *(self._send_one_back(record, numbers) for record in records.values()), return_exceptions=True
                )
                pairs = list(zip(records.items(), outcomes, strict=True))
                done = {name: record for (name, record), outcome in pairs if outcome is None}
                await asyncio.gather(*(self._forget(name, record) for name, record in done.items()))
        except TimeoutError:
            raise SourceError(f"topic {self._source} did not take them within {_WRITE_FOR:g} s") from None
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, TooLargeError):
                raise outcome
        return [name for (name, _), outcome in pairs if isinstance(outcome, TooLargeError)]

    async def _send_one_back(self, record: Message, numbers: set[int]) -> None:
        message = parked_record.decode(record)
        ours = [("fanout-redriven-from", b"%d/%d" % (message.partition, message.offset))]
        if message.group:
            ours.append((REDRIVEN_FOR, address(self._id, self._source, message.group)))
        await self._writer.write(
            self._source,
            key=message.key,
            value=message.value,
            headers=[*message.headers, *ours],
            partition=message.partition if message.partition in numbers else None,
        )

    async def _forget(self, name: int, record: Message) -> None:
        await self._writer.write(self._parked, key=record.key, value=None, partition=0)
        self._index.drop(name)

    # Looking ---------------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Bring the index up to what the topic holds now."""
        async with self._reading:
            _, end = (await self._reader.bounds([0]))[0]
            if end < self._index.next:
                logger.warning("topic %s ends before what was read of it: it was made anew", self._parked)
                self._index = _Index()
            async for record in self._reader.scan(0, self._index.next):
                self._index.add(record)
            self._index.next = max(self._index.next, end)

    async def _read(self, names: Sequence[int]) -> dict[int, Message]:
        """The records; one that another worker has sent back so long ago that its deletion is gone too is dropped."""
        records = await self._reader.read(0, names)
        for name in names:
            if name not in records:
                self._index.drop(name)
        return records


class _Index:
    """Which parked messages there are: for each key the latest record, unless that deletes it."""

    def __init__(self) -> None:
        self.names = BitMap64()
        #: Where the topic has not been read yet.
        self.next = 0
        self._by_key: dict[bytes, int] = {}

    def add(self, record: Message) -> None:
        self.next = record.offset + 1
        if record.key is None:
            return
        earlier = self._by_key.pop(record.key, None)
        if earlier is not None:
            self.names.discard(earlier)
        if parked_record.is_parked(record):
            self._by_key[record.key] = record.offset
            self.names.add(record.offset)

    def drop(self, name: int) -> None:
        # Its key stays until the deletion is read; a name alone does not tell it.
        self.names.discard(name)

    def after(self, name: int, limit: int) -> Sequence[int]:
        return list(islice(self.names.iter_equal_or_larger(name + 1), limit)) if limit > 0 else []
