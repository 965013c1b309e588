"""What clients ask for and what they are answered, as values: the words of the HTTP contract without HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Literal, NamedTuple

from msgspec import Struct


class Pull(Struct, frozen=True, kw_only=True):
    """One client's wish for messages."""

    client: str
    group: str = "stable"
    max_messages: int = 1
    max_bytes: int = 1 << 20
    #: Seconds each lease lasts.
    ack_wait: float = 30.0
    #: The client's name for this pull; empty: it has none. Sent again, it is answered with the same leases.
    receive_id: str = ""
    #: Nothing but what a pull of this name was answered with.
    again: bool = False


class Empty(Enum):
    """Why a pull was answered with nothing; the values are those of the ``Fanout-Empty`` header."""

    NO_MESSAGE = "no-message"
    PAUSED = "paused"
    WEIGHT_ZERO = "weight-zero"
    CLIENT_LIMIT = "client-limit"
    BUFFER_FULL = "buffer-full"
    MOVING = "moving"


class LeaseRef(NamedTuple):
    """What a lease token says once its MAC has been checked."""

    partition: int
    era: int
    offset: int
    delivery_count: int
    #: The answer (one pull's hand-out) this lease was part of.
    batch: int


class BatchRef(NamedTuple):
    """What a batch token says: the owner of ``partition`` knows the leases."""

    partition: int
    batch: int


Ref = LeaseRef | BatchRef


class Verb(Enum):
    ACK = "ack"
    NACK = "nack"
    EXTEND = "extend"
    REJECT = "reject"


class Status(Enum):
    """How one entry of a settle went; ``DONE`` is the plain case that ``results`` leaves out."""

    DONE = "done"
    LATE = "late"
    ALREADY_SETTLED = "already_settled"
    LEASE_LOST = "lease_lost"
    LEASE_UNKNOWN = "lease_unknown"
    GONE = "gone"
    RETRY = "retry"
    NOT_IN_BATCH = "not_in_batch"


class Entry(Struct, frozen=True, kw_only=True):
    """One line of a settle body, its token already read. ``ref`` is None for a token that is not ours."""

    token: str
    ref: Ref | None
    #: nack only: seconds until it is handed out again; None is the backoff of the delivery count.
    delay: float | None = None
    #: extend only: seconds from now that the lease lasts.
    ack_wait: float = 30.0
    #: nack and reject only.
    reason: str = ""


class Settle(Struct, frozen=True, kw_only=True):
    """A settle body. The lists are worked off in this order, and a lease named twice gets the first."""

    extend: Sequence[Entry] = ()
    nack: Sequence[Entry] = ()
    reject: Sequence[Entry] = ()
    ack: Sequence[Entry] = ()
    durable: bool = True


class SettleOutcome(Struct, kw_only=True):
    """Counts are messages; ``results`` holds what was not plainly done, by its token or, out of a batch, its lease."""

    acked: int = 0
    nacked: int = 0
    extended: int = 0
    rejected: int = 0
    results: list[tuple[str | LeaseRef, Status]] = []

    def add(self, other: SettleOutcome) -> None:
        self.acked += other.acked
        self.nacked += other.nacked
        self.extended += other.extended
        self.rejected += other.rejected
        self.results += other.results


class LiveLease(NamedTuple):
    """One message under a lease that has not ended, for those who run a worker."""

    ref: LeaseRef
    client: str
    group: str
    #: Seconds of the monotonic clock, as the deadline.
    delivered_at: float
    deadline: float


class Timestamp(NamedTuple):
    """A place in a log: the first message of this time (of its own timestamp) or later."""

    unix_ms: int


#: Where to seek: an end of the log, an offset or a time. ``latest`` is after the last message, open transactions
#: included.
SeekTo = Literal["earliest", "latest"] | int | Timestamp
