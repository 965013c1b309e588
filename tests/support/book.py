"""What a test knows by itself of a topic: which messages exist, and which of them somebody has tried to ack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from support.clients import Delivery
from support.kafka import Kafka, Record

_EVERY = 0.03


class Book:
    """The unsettled messages of one topic. It must be told of an ack before that is sent: it may count from then on."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._unsettled: dict[int, set[int]] = {}
        self._acked: set[tuple[int, int]] = set()
        self.add(records)

    def add(self, records: Iterable[Record]) -> None:
        """These were written; who writes is told so late that somebody may have acked them already."""
        for record in records:
            if (record.partition, record.offset) not in self._acked:
                self._unsettled.setdefault(record.partition, set()).add(record.offset)

    def acking(self, *messages: Delivery | Record) -> None:
        for message in messages:
            self._acked.add((message.partition, message.offset))
            self._unsettled.setdefault(message.partition, set()).discard(message.offset)

    def check(self, committed: dict[int, int]) -> None:
        """The group's offset is the lowest unsettled one at most, or that message would never come again."""
        for partition, offset in committed.items():
            passed = sorted(known for known in self._unsettled.get(partition, ()) if known < offset)
            assert not passed, f"partition {partition}: committed {offset}, but {passed} are not settled"


@asynccontextmanager
async def watched_commits(kafka: Kafka, book: Book, *, id: str, topic: str) -> AsyncIterator[None]:
    """Read the group's offsets all along, whatever is done to workers meanwhile, and compare them with the book."""

    async def watch() -> None:
        while True:
            book.check(await kafka.committed(id, topic))
            await asyncio.sleep(_EVERY)

    watching = asyncio.create_task(watch())
    try:
        yield
        book.check(await kafka.committed(id, topic))
    finally:
        watching.cancel()
        [outcome] = await asyncio.gather(watching, return_exceptions=True)
    if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
        raise outcome
