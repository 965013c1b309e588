"""Leases: the time-limited right of one client to the messages it was handed.

Messages handed out together on one partition share a client, a deadline and a fate most of the time, so they are kept
as one `LeaseRun`, and cost per message is a dictionary entry. A message that goes its own way (extended, acked, nacked
by itself) simply leaves its run.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Protocol

from fanout_app.core.message import Message


class Expiring(Protocol):
    """What can be filed under a deadline: something that knows whether the deadline still matters."""

    @property
    def live(self) -> int: ...


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
        return (
            f"<LeaseRun p{self.partition}/{self.messages[0].offset}-{self.messages[-1].offset} live={self.live} "
            f"client={self.client} until={self.deadline:.3f}>"
        )


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


class Deadlines:
    """Times at which something ends, earliest first.

    Most leases are acked long before they end, so ended items would outnumber the live ones by far: once half of the
    heap is known to be dead it is rebuilt without them, which keeps its size within twice what is live.
    """

    _SMALL = 1024

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Expiring]] = []
        self._sequence = 0
        self._dead = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: float, item: Expiring) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (at, self._sequence, item))

    def one_died(self) -> None:
        """An item that was added has no use for its time any more (its ``live`` is zero)."""
        self._dead += 1
        if self._dead > self._SMALL and 2 * self._dead > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].live]
            heapq.heapify(self._heap)
            self._dead = 0

    def next(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[tuple[float, Expiring]]:
        """Take out what is due, with the time it was filed under; the dead ones among them as well."""
        while self._heap and self._heap[0][0] <= now:
            at, _, item = heapq.heappop(self._heap)
            if not item.live and self._dead:
                self._dead -= 1
            yield at, item
