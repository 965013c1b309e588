"""Leases: the time-limited right of one client to the messages it was handed.

Messages handed out together on one partition share a client, a deadline and a fate most of the time, so they are kept
as one `LeaseRun`, and cost per message is a dictionary entry. A message that goes its own way (extended, acked, nacked
by itself) simply leaves its run.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from fanout_app.core.message import Message

_offset = attrgetter("offset")


class Timed(Protocol):
    """What can be filed under its deadline: something that knows whether that still matters."""

    @property
    def deadline(self) -> float: ...
    @property
    def live(self) -> int: ...


T = TypeVar("T", bound=Timed)


class LeaseRun:
    """The leases that one answer gave on one partition and that end together."""

    __slots__ = ("ack_wait", "batch", "client", "deadline", "delivered_at", "delivery_count", "era", "group", "live",
                 "messages", "partition")  # fmt: skip

    def __init__(
        self,
        *,
        batch: int,
        partition: int,
        era: int,
        client: str,
        group: str,
        messages: Sequence[Message],
        delivery_count: int,
        delivered_at: float,
        ack_wait: float,
    ) -> None:
        self.batch = batch
        self.partition = partition
        self.era = era
        self.client = client
        self.group = group
        #: Everything that was handed out, ascending by offset; which of it is live still, the partition knows.
        self.messages = messages
        #: The same for the whole run: messages delivered before go into runs of their own.
        self.delivery_count = delivery_count
        self.delivered_at = delivered_at
        self.ack_wait = ack_wait
        self.deadline = delivered_at + ack_wait
        #: How many of ``messages`` are still under this lease.
        self.live = len(messages)

    def __repr__(self) -> str:
        offsets = [message.offset for message in (*self.messages[:1], *self.messages[-1:])]
        return f"<LeaseRun p{self.partition}/{offsets} live={self.live} client={self.client} until={self.deadline:.3f}>"

    def find(self, offset: int) -> Message | None:
        """The message of this offset, if it was handed out with this run."""
        messages = self.messages
        at = bisect_left(messages, offset, key=_offset)
        return messages[at] if at < len(messages) and messages[at].offset == offset else None

    def message(self, offset: int) -> Message:
        """The message of this offset, which is under this lease."""
        message = self.find(offset)
        assert message is not None
        return message


class Answer:
    """What one pull was handed: the runs of leases, under one batch number."""

    __slots__ = ("batch", "client", "group", "live", "runs", "splits")

    def __init__(self, *, batch: int, client: str, group: str, runs: list[LeaseRun]) -> None:
        self.batch = batch
        self.client = client
        self.group = group
        self.runs = runs
        #: Leases that were given an end of their own since.
        self.splits: list[LeaseRun] = []
        #: How many of its messages are still under a lease of it.
        self.live = sum(run.live for run in runs)

    def __len__(self) -> int:
        return sum(len(run.messages) for run in self.runs)

    def holds(self, partition: int, offset: int, delivery_count: int) -> bool:
        """Whether this delivery was one of it."""
        return any(
            (run.partition, run.delivery_count) == (partition, delivery_count) and run.find(offset) is not None
            for run in self.runs
        )


class Deadlines(Generic[T]):
    """Times at which something ends, earliest first.

    Most leases are acked long before they end, and an extended one is filed anew: both leave entries behind that mean
    nothing any more. They are dropped when they come up, and all of them whenever the heap has doubled, which keeps it
    within twice what was live then at a constant cost for each entry.
    """

    _SMALL = 1024

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._sequence = 0
        self._full = self._SMALL

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, item: T) -> None:
        """File an item under its deadline, once more if that has changed."""
        if len(self._heap) >= self._full:
            self._heap = [entry for entry in self._heap if _matters(entry)]
            heapq.heapify(self._heap)
            self._full = max(self._SMALL, 2 * len(self._heap))
        self._sequence += 1
        heapq.heappush(self._heap, (item.deadline, self._sequence, item))

    def next(self) -> float | None:
        while self._heap and not _matters(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[T]:
        """Take out what is due. What is added meanwhile and is due as well comes too."""
        while (at := self.next()) is not None and at <= now:
            yield heapq.heappop(self._heap)[2]


def _matters(entry: tuple[float, int, T]) -> bool:
    at, _, item = entry
    return bool(item.live) and item.deadline == at
