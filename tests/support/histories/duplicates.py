"""Why messages came more than once. At least once is what is promised, but each time for a reason. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from support.histories.events import OK
from support.histories.leases import LOAN, expires_at_the_earliest, may_be_returned
from support.histories.records import Delivery, Trouble
from support.histories.view import History

#: Nothing that happened explains it: a fault.
UNEXPLAINED = "unexplained"
#: Seconds after a trouble in which partitions may still move because of it: a session and a rebalance.
_REBALANCE = 6.0
#: What gives a worker no time to say anything.
_SUDDENLY = frozenset({"kill -9", "leader killed", "SIGSTOP", "leader paused"})

#: What was done to workers and servers, as a cause: the gravest that happened between two deliveries is it.
_DONE = (
    ("worker killed", {"kill -9", "leader killed"}),
    ("worker paused", {"SIGSTOP", "leader paused"}),
    ("network cut", {"cut from brokers", "cut from workers", "cut from clients", "cut off"}),
    ("network slow", {"slow link", "delayed link"}),
    ("all brokers killed", {"all brokers killed"}),
    ("broker killed or paused", {"broker killed", "broker paused"}),
    ("broker's disk full", {"broker disk full"}),
    ("operator's reset", {"operator's reset", "topic made anew"}),
    ("worker stopped", {"SIGTERM", "worker removed", "rolling restart"}),
    ("partitions added", {"partitions added"}),
)


def duplicates(history: History) -> Counter[str]:
    """Deliveries after the first of their message, by what became of the one before."""
    return Counter(cause for cause, _, _ in causes(history))


def causes(history: History) -> Iterator[tuple[str, Delivery | None, Delivery]]:
    """The cause of each, the delivery before, if anybody saw that one, and the delivery."""
    everywhere: dict[tuple[int, int, int], list[Delivery]] = defaultdict(list)
    for place, deliveries in history.deliveries.items():
        everywhere[history.eras.log_of(place), place.partition, place.offset] += deliveries
    for deliveries in everywhere.values():
        deliveries = _as_handed_out(deliveries)
        if deliveries[0].count > 1:
            # Somebody must have had it before; nobody was left to say so.
            yield "connection cut", None, deliveries[0]
        for before, again in pairwise(deliveries):
            yield _cause(history, before, again), before, again


def _as_handed_out(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """In the order of their counts where they may have been handed out in any: an answer may be held up on its way."""
    order: list[Delivery] = []
    for delivery in sorted(deliveries, key=lambda delivery: (delivery.seen, delivery.sent)):
        at = len(order)
        while at and order[at - 1].count > delivery.count and order[at - 1].seen > delivery.sent:
            at -= 1
        order.insert(at, delivery)
    return order


def _cause(history: History, before: Delivery, again: Delivery) -> str:
    if before.place not in history.eras.before(again.place):
        return "set back by an operator"
    tries = [attempt for attempt in history.tries_before(again.place) if attempt.sent < again.seen]
    nacks = [attempt for attempt in tries if attempt.delivery is before and attempt.entry.verb == "nack"]
    if any(attempt.status in (OK, "retry", None) for attempt in nacks):
        return "nacked"
    if any(attempt.settles and not attempt.known for attempt in tries):
        return "unknown ack outcome"
    if again.seen >= expires_at_the_earliest(history, before):
        return "lease expired"
    if history.gone_at(before.place) <= again.seen:
        return "deleted meanwhile"
    if may_be_returned(history, before, again):
        # The worker that was asked had it on loan, and its owner was not told in time that the client has it.
        struck = _between(history, before.sent, before.seen + LOAN)
        asked = before.pull.asked.worker
        ended = any(trouble.worker == asked and trouble.what in _SUDDENLY for trouble in struck)
        return "forwarding worker ended" if ended else "loan not confirmed"
    if not history.spans.may_have_moved(before.seen, again.seen):
        return UNEXPLAINED
    if any(attempt.has_settled and not attempt.asked.durable for attempt in tries):
        return "acked without durable"
    what = {trouble.what for trouble in _between(history, before.sent - _REBALANCE, again.seen)}
    return next((cause for cause, troubles in _DONE if what & troubles), "partition moved")


def _between(history: History, since: float, until: float) -> list[Trouble]:
    return [trouble for trouble in history.troubles if trouble.began <= until and trouble.felt_until >= since]
