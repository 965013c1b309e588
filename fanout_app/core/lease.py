"""Leases: the time-limited right of one client to the messages it was handed.

Messages handed out together on one partition share a client, a deadline and a fate most of the time, so they are kept
as one `LeaseRun`, and cost per message is a dictionary entry. A message that goes its own way (extended, acked, nacked
by itself) simply leaves its run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from fanout_app.core.deadlines import Alarm
from fanout_app.core.message import Message

_offset = attrgetter("offset")


_NO_ALARM = Alarm()


class HandedOver(NamedTuple):
    """Messages that an owner of a partition leaves to the next one to hold back: leased ones, or ones that rest.

    They are those of ``span`` offsets from ``first`` on that are not settled. Times are in seconds.
    """

    first: int
    span: int
    #: Until the lease, or the rest, is over.
    left: float
    #: Who has them, or has failed those that rest, and that one's group; empty if nobody is known.
    client: str
    group: str = ""
    anonymous: bool = False
    #: That of the lease; None: nobody has them, they rest until their delay is over.
    batch: int | None = None
    #: What the delivery is counted as that they are out with, or that comes next.
    delivery_count: int = 1
    #: Since the delivery.
    age: float = 0.0


class LeaseRun:
    """The leases that one answer gave on one partition and that end together."""

    __slots__ = (
        "ack_wait",
        "alarm",
        "batch",
        "client",
        "deadline",
        "delivered_at",
        "delivery_count",
        "era",
        "group",
        "handed_over",
        "live",
        "messages",
        "partition",
    )

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
        handed_over: bool = False,
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
        #: Given by an earlier owner: no answer of ours goes with it, and the bodies of its messages are not here.
        self.handed_over = handed_over
        self.deadline = delivered_at + ack_wait
        #: Rings at the deadline.
        self.alarm = _NO_ALARM
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

    __slots__ = (
        "batch",
        "being_written",
        "client",
        "counted_in",
        "group",
        "live",
        "provisional",
        "receive_id",
        "runs",
        "shown",
        "size",
        "splits",
    )

    def __init__(
        self,
        *,
        batch: int,
        client: str,
        group: str,
        runs: list[LeaseRun],
        counted_in: int = 0,
        receive_id: str = "",
    ) -> None:
        self.batch = batch
        self.client = client
        self.group = group
        self.runs = runs
        #: What its client is told: all of it, or where the pull was sent again what was live of it then.
        self.shown = runs
        #: That of the pull.
        self.receive_id = receive_id
        #: The round (`Shares.round`) in which it came by its group's turn, as part of its share; 0: by no turn.
        self.counted_in = counted_in
        #: Leases that were given an end of their own since.
        self.splits: list[LeaseRun] = []
        #: Rings when it goes back, if nobody has confirmed that it is with its client (`Leases.lend`).
        self.provisional = _NO_ALARM
        #: It is not confirmed, but its client is taking it.
        self.being_written = False
        self.size = sum([len(run.messages) for run in runs])
        #: How many of its messages are still under a lease of it.
        self.live = self.size

    def __len__(self) -> int:
        return self.size

    def holds(self, partition: int, offset: int, delivery_count: int) -> bool:
        """Whether this delivery was one of it."""
        return any(
            (run.partition, run.delivery_count) == (partition, delivery_count) and run.find(offset) is not None
            for run in self.runs
        )
