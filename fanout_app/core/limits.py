"""Every limit of the queue, and the counts of what happened in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

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
    #: How long a failed message waits for another client before the one that failed it may have it again, or one
    #: that let a lease end and has not acked since.
    other_client_wait: float = 1.0
    backoff: Backoff = field(default_factory=Backoff)
    #: A message delayed for longer keeps no body in memory; it is read again when it is due.
    long_delay: float = 10.0
    #: So many deliveries that ended badly make a message a dead letter; None: it is tried for ever.
    max_deliver: int | None = None
    #: From this delivery on a message is handed out alone, so that what breaks a client takes no others down with it.
    alone_from: int = 3
    #: Size of a ledger row above which no more of its partition is fetched.
    max_row_bytes: int = 512 << 10
    #: A message waits until all earlier ones of its key are settled.
    order_by_key: bool = False


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
    dead_lettered: int = 0
    lost_to_retention: int = 0


def summed(several: Iterable[Counters]) -> Counters:
    total = Counters()
    for one in several:
        for counter in fields(Counters):
            setattr(total, counter.name, getattr(total, counter.name) + getattr(one, counter.name))
    return total
