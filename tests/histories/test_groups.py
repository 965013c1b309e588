"""Histories with groups and keys, with real workers: shares that are changed while leaders die, and keys in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

from support.histories.events import STABLE, SharesRead, read
from support.histories.group_plans import WEIGHTS, broadcast_plan, canary_plan, ordered_plan
from support.histories.holding import Holding
from support.histories.judge import views
from support.histories.plan import Strike
from support.histories.verdict import RunPlan, Verdict
from support.histories.view import History

DRAINED_WITHIN = 40.0

SHARES = canary_plan(
    1,
    Strike(after=4.0, trouble="canary fails", weights=WEIGHTS[1]),
    Strike(after=4.0, trouble="leader killed", lasts=0.5, weights=WEIGHTS[5], by_key=True),
    Strike(after=7.0, trouble="weights changed", which=1, weights=WEIGHTS[3]),
    quiet=0.5,
)
ORDER = ordered_plan(
    3, Strike(after=2.0, trouble="kill -9", lasts=0.2), Strike(after=2.0, trouble="worker removed"), quiet=2.0
)
BROADCAST = broadcast_plan(
    4,
    Strike(after=3.0, trouble="kill -9", lasts=0.2),
    Strike(after=3.0, trouble="partitions added"),
    Strike(after=3.0, trouble="worker removed"),
    quiet=2.0,
)


async def test_groups_share_and_keys_keep_their_order_whatever_is_done(run_plan: RunPlan) -> None:
    """All at once: they wait most of the time, and have nothing in common but the broker."""
    shares, order, broadcast = await asyncio.gather(
        *(run_plan(plan, drained_within=DRAINED_WITHIN) for plan in (SHARES, ORDER, BROADCAST))
    )
    for verdict in (shares, order, broadcast):
        assert not verdict.faults, verdict.text()
        assert verdict.counts["deliveries"] >= verdict.counts["produced"] > 0
    _were_felt(shares)
    _was_ordered(order)
    _was_for_each(broadcast)


def _were_felt(verdict: Verdict) -> None:
    """The guard has taken the canary out, stable had what it failed, and of much the judge knew what held then."""
    events = read(verdict.path)
    history = History(events)
    assert any(event.shares.weights.get("canary") == 0 for event in events if isinstance(event, SharesRead))
    next_to = [
        second.group
        for deliveries in history.deliveries.values()
        for first, second in pairwise(deliveries)
        if first.group == "canary" and second.count == first.count + 1
    ]
    assert next_to.count(STABLE) > 10
    holding = Holding(history)
    held = [
        holding.between(delivery.sent, delivery.seen) for several in history.deliveries.values() for delivery in several
    ]
    known = Counter(shares.by for shares in held if shares is not None)
    assert min(known["message"], known["key"]) > 10, known


def _was_ordered(verdict: Verdict) -> None:
    """Some had to be handed out again, and some have no key."""
    history = History(read(verdict.path))
    assert verdict.duplicates.total() > 10
    assert any(message.asked.key is None for message in history.messages)
    assert any(message.asked.key is not None for message in history.messages)


def _was_for_each(verdict: Verdict) -> None:
    """Who was there all along was handed all, and who came and went as much of it as there was then."""
    handed = {"first": 0, "second": 0, "third": 0, "alone": 0}
    for view in views(read(verdict.path)):
        assert view.life is not None
        handed[view.life.group] += len(view.deliveries)
    assert handed["first"] == handed["second"] == verdict.counts["produced"]
    assert 0 < handed["third"] <= verdict.counts["produced"]
