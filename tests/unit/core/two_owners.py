"""An owner of partition 0 that has handed messages out, and the one that comes after it."""

from __future__ import annotations

from itertools import count

from fanout_app.core.dispatcher import Limits
from fanout_app.core.handover import leave
from fanout_app.core.lease import HandedOver
from fanout_app.core.ledger_row import decode_row, encode_row
from fanout_app.core.requests import LeaseRef
from unit.core.desk import Desk, leases


def held(messages: int = 3, limits: Limits | None = None) -> tuple[Desk, list[LeaseRef]]:
    """Five messages, the first of them with A in one answer."""
    desk = Desk(limits=limits)
    desk.fetch(0, 1, 2, 3, 4)
    return desk, leases(desk.pull("A", messages))


def moved(desk: Desk, limits: Limits | None = None, *, later: float = 1.0) -> Desk:
    """The next owner of partition 0, with a clock of its own."""
    snapshot, left_out = desk.queue.last_snapshot(0, desk.now)
    assert not left_out
    row = encode_row(snapshot, id="i", topic="t", generation=1, counter=1)
    next_one = Desk(decode_row(row, id="i", topic="t").snapshot(), limits or desk.queue.limits)
    next_one.now = 1000.0 + later
    next_one.queue._new_batch = count(100).__next__  # as those of real owners, which never come twice
    next_one.queue.take_over(0, decode_row(row, id="i", topic="t").snapshot().handed_over, next_one.now)
    next_one.queue.resume(0)
    return next_one


def left_by(desk: Desk) -> list[HandedOver]:
    return leave(desk[0], desk.queue.clients, desk.queue.answers, desk.now)


def run_of(first: int, *, left: float = 1.0, client: str = "A", leased: bool = True) -> HandedOver:
    return HandedOver(first=first, span=1, left=left, client=client, group="stable", batch=7 if leased else None)
