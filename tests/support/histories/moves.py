"""What the move of a partition may not do to leases: who gives it up in good order hands them over. Pure.

Owners that were killed, stopped or cut off hand nothing over, and neither does one that finds no time for it: of those
nothing is said here.
"""

from __future__ import annotations

from itertools import combinations

from support.histories.faults import Found
from support.histories.leases import lasts_until, may_be_returned
from support.histories.records import Delivery
from support.histories.view import History

#: Whoever goes, comes or makes room because of these has time for its last row.
_IN_GOOD_ORDER = frozenset({"worker added", "worker removed", "SIGTERM", "rolling restart"})
#: Seconds for which any other trouble may still be at work: a session and a rebalance.
_REBALANCE = 6.0


def cut_by_a_move(history: History) -> Found:
    """A lease goes on when its partition moves in good order: nobody else is handed the message before it ends."""
    for place, deliveries in history.deliveries.items():
        for first, second in combinations(deliveries, 2):
            if _moved_between(history, first, second) and _both_live(history, first, second):
                clients = f"{first.pull.asked.client} and {second.pull.asked.client}"
                yield f"{place} moved in good order, and was under two leases at once, of {clients}", [
                    first.pull.line, first.line, second.pull.line, second.line,
                ]  # fmt: skip


def _both_live(history: History, first: Delivery, second: Delivery) -> bool:
    """When the second one was seen, if both owners knew of both leases."""
    return (
        second.seen < min(lasts_until(history, first), lasts_until(history, second))
        and not may_be_returned(history, first, second)
        # What is on loan is not handed over: its client may not have been told of it.
        and not history.may_be_lent(first)
    )


def _moved_between(history: History, first: Delivery, second: Delivery) -> bool:
    """Whether the partition may have moved between two deliveries, and nothing kept its owner from its last row."""
    span = history.spans.at(first.seen)
    if span is None or second.seen <= span.until:
        return False  # nobody knows, or it is a matter of one owner
    since = first.sent - _REBALANCE
    return history.spans.steady(since, second.seen) and all(
        trouble.what in _IN_GOOD_ORDER or not trouble.harms
        for trouble in history.troubles
        if trouble.began <= second.seen and trouble.felt_until >= since
    )
