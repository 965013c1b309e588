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

from msgspec import Struct

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


class LeaseRun(Struct, kw_only=True, eq=False):
    """The leases that one answer gave on one partition and that end together."""

    batch: int
    partition: int
    era: int
    client: str
    group: str
    #: Everything that was handed out, ascending by offset; which of it is live still, the partition knows.
    messages: Sequence[Message]
    #: The same for the whole run: messages delivered before go into runs of their own.
    delivery_count: int
    delivered_at: float
    ack_wait: float
    #: Given by an earlier owner: no answer of ours goes with it, and the bodies of its messages are not here.
    handed_over: bool = False
    deadline: float = 0.0
    #: Rings at the deadline.
    alarm: Alarm = _NO_ALARM
    #: How many of ``messages`` are still under this lease.
    live: int = 0

    def __post_init__(self) -> None:
        self.deadline = self.delivered_at + self.ack_wait
        self.live = len(self.messages)

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


class Answer(Struct, kw_only=True, eq=False):
    """What one pull was handed: the runs of leases, under one batch number."""

    batch: int
    client: str
    group: str
    runs: list[LeaseRun]
    #: It came by its group's turn, and is counted as part of its share.
    counted: bool = True
    #: Leases that were given an end of their own since.
    splits: list[LeaseRun] = []
    #: Rings when it goes back, if nobody has confirmed that it is with its client (`Leases.lend`).
    provisional: Alarm = _NO_ALARM
    #: It is not confirmed, but its client is taking it.
    being_written: bool = False
    size: int = 0
    #: How many of its messages are still under a lease of it.
    live: int = 0

    def __post_init__(self) -> None:
        self.size = sum([len(run.messages) for run in self.runs])
        self.live = self.size

    def __len__(self) -> int:
        return self.size

    def holds(self, partition: int, offset: int, delivery_count: int) -> bool:
        """Whether this delivery was one of it."""
        return any(
            (run.partition, run.delivery_count) == (partition, delivery_count) and run.find(offset) is not None
            for run in self.runs
        )
