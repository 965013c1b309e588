"""Why messages came more than once. Reported, not judged: at least once is what is promised."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from support.histories.events import OK
from support.histories.leases import held_for_sure
from support.histories.view import Delivery, History

#: In the order in which they are looked for.
CAUSES = (
    "nacked", "unknown ack outcome", "acked without durable", "worker killed", "worker stopped or moved",
    "lease expired", "connection cut", "other",
)  # fmt: skip


def duplicates(history: History) -> Counter[str]:
    """Deliveries after the first of their message, by what became of the one before."""
    causes: Counter[str] = Counter()
    for deliveries in history.deliveries.values():
        for before, again in pairwise(deliveries):
            causes[_cause(history, before, again)] += 1
        if deliveries[0].count > 1:
            # Somebody must have had it before; nobody was left to say so.
            causes["connection cut"] += 1
    return causes


def _cause(history: History, before: Delivery, again: Delivery) -> str:
    tries = [attempt for attempt in history.tries[before.place] if attempt.sent < again.seen]
    if any(attempt.delivery is before and attempt.entry.verb == "nack" and attempt.status == OK for attempt in tries):
        return "nacked"
    if any(attempt.settles and not attempt.known for attempt in tries):
        return "unknown ack outcome"
    if any(attempt.has_settled and not attempt.asked.durable for attempt in tries):
        return "acked without durable"
    span = history.span_at(before.seen)
    if span is None or again.sent > span.until:
        return "worker killed" if _killed(history, before, again) else "worker stopped or moved"
    if again.seen >= held_for_sure(history, before)[1]:
        return "lease expired"
    return "other"


def _killed(history: History, before: Delivery, again: Delivery) -> bool:
    return any(
        trouble.what == "kill -9" and trouble.began <= again.sent and trouble.ended >= before.sent
        for trouble in history.troubles
    )
