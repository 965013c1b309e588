"""A topic in memory, and what a worker asks of Kafka, answered from it. Nothing outlives the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from fanout_app.core.group_start import start_groups
from fanout_app.core.message import Message
from fanout_app.core.requests import SeekTo, Timestamp
from fanout_app.core.start import Known, Start, decide
from fanout_app.ports import Fetch

#: Messages of one fetch: so many that others are not kept waiting.
_FETCH: Final = 500


class Record(NamedTuple):
    """One message of a log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(slots=True)
class Fetched:
    """Some messages of one partition, as one fetch brings them."""

    partition: int
    asked: int
    after: int
    messages: list[Message]


class Taker(Protocol):
    """Who takes what is in the topic."""

    def wants(self, partition: int) -> bool: ...
    async def take(self, fetch: Fetch) -> None: ...


class MemoryTopic:
    """The logs of all partitions: the runtime's `Source`, `Bodies` and `Starts`."""

    def __init__(self, partitions: int) -> None:
        self.logs: list[list[Record]] = [[] for _ in range(partitions)]
        self._positions = [0] * partitions
        self._news = asyncio.Event()

    def append(
        self,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        timestamp: int | None = None,
    ) -> int:
        """Add a message at the end of a partition, and answer its offset."""
        log = self.logs[partition]
        at = time.time_ns() // 1_000_000 if timestamp is None else timestamp
        log.append(Record(len(log), at, key, value, headers))
        self._news.set()
        return len(log) - 1

    async def feed(self, taker: Taker) -> None:
        """Hand over what is wanted, for ever."""
        while True:
            self._news.clear()
            for number, log in enumerate(self.logs):
                while self._positions[number] < len(log) and taker.wants(number):
                    asked = self._positions[number]
                    messages = log[asked : asked + _FETCH]
                    self._positions[number] = after = asked + len(messages)
                    await taker.take(Fetched(number, asked, after, list(messages)))
            await self._news.wait()

    # Source ----------------------------------------------------------------------------------------------------------

    async def seek(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset
        self._news.set()

    async def log_start(self, partition: int) -> int:
        return 0

    async def log_ends(self, partitions: Iterable[int]) -> dict[int, int]:
        return {number: len(self.logs[number]) for number in partitions}

    async def topic_id(self) -> bytes:
        return b""

    async def offsets_at(self, partitions: Iterable[int], to: SeekTo) -> dict[int, int]:
        return {number: self._offset_at(self.logs[number], to) for number in partitions}

    @staticmethod
    def _offset_at(log: list[Record], to: SeekTo) -> int:
        if to == "earliest":
            return 0
        if to == "latest":
            return len(log)
        if isinstance(to, Timestamp):
            return next((record.offset for record in log if record.timestamp >= to.unix_ms), len(log))
        return min(int(to), len(log))

    async def commit(self, partition: int, floor: int, era: int) -> None:
        pass  # nobody comes after this process

    def wake_up(self) -> None:
        self._news.set()

    def member(self) -> str:
        return "memory"

    # Bodies and starts -----------------------------------------------------------------------------------------------

    async def read(self, partition: int, offsets: Sequence[int]) -> dict[int, Message]:
        log = self.logs[partition]
        return {offset: log[offset] for offset in offsets if offset < len(log)}

    async def find(self, partitions: set[int]) -> dict[int, Start]:
        return {number: self._start(number) for number in partitions}

    def _start(self, number: int) -> Start:
        end = len(self.logs[number])
        known = Known(
            row=None, committed=None, committed_era=None, mirror=None, log_start=0, log_end=end, first_start=0
        )
        start = decide(known)
        start.slots = start_groups(start, known, {})
        return start
