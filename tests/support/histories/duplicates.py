"""Why messages came more than once. Reported, not judged: at least once is what is promised."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from support.histories.events import OK
from support.histories.leases import LOAN, lasts_until, may_be_returned
from support.histories.view import Delivery, History, Trouble

#: Seconds after a trouble in which partitions may still move because of it: a session and a rebalance.
_REBALANCE = 6.0

#: A cause that is none: nothing is known that would lead to it.
UNEXPLAINED = "other"

#: What was done to workers and servers, as a cause: the gravest that happened between two deliveries is it.
_DONE = (
    ("worker killed", {"kill -9"}),
    ("worker paused", {"SIGSTOP"}),
    ("broker killed or paused", {"broker killed", "broker paused"}),
    ("worker stopped", {"SIGTERM", "worker removed", "rolling restart"}),
)


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
    nacks = [attempt for attempt in tries if attempt.delivery is before and attempt.entry.verb == "nack"]
    if any(attempt.status in (OK, "retry", None) for attempt in nacks):
        return "nacked"
    if any(attempt.settles and not attempt.known for attempt in tries):
        return "unknown ack outcome"
    if any(attempt.has_settled and not attempt.asked.durable for attempt in tries):
        return "acked without durable"
    if again.seen >= lasts_until(history, before):
        return "lease expired"
    if may_be_returned(history, before, again):
        # The worker that was asked had it on loan, and its owner was not told in time that the client has it.
        struck = _between(history, before.sent, before.seen + LOAN)
        asked = before.pull.asked.worker
        ended = any(trouble.worker == asked and trouble.what in ("kill -9", "SIGSTOP") for trouble in struck)
        return "forwarding worker ended" if ended else "loan not confirmed"
    span = history.spans.at(before.seen)
    if span is not None and again.seen <= span.until:
        return UNEXPLAINED
    what = {trouble.what for trouble in _between(history, before.sent - _REBALANCE, again.seen)}
    return next((cause for cause, troubles in _DONE if what & troubles), "partition moved")


def _between(history: History, since: float, until: float) -> list[Trouble]:
    return [trouble for trouble in history.troubles if trouble.began <= until and trouble.ended >= since]
