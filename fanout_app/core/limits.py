"""Every limit of the queue, and the counts of what happened in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fanout_app.core.redelivery import Backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every limit of the queue. Times in seconds, sizes in bytes."""

    max_ack_pending: int = 10_000
    buffer_bytes: int = 64 << 20
    client_limit: int = 1000
    client_ttl: float = 10.0
    #: So many leases that run out in a row make a client one that hoards.
    hoarding: int = 10
    #: How long a failed message waits for another client before the one that failed it may have it again.
    other_client_wait: float = 1.0
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(slots=True)
class Counters:
    """What happened since the start, in messages."""

    delivered: int = 0
    redelivered: int = 0
    acked: int = 0
    late: int = 0
    nacked: int = 0
    rejected: int = 0
    expired: int = 0
    released: int = 0
    lost_to_retention: int = 0
