"""The rule about order by key. Pure."""

from __future__ import annotations

from math import inf

from support.histories.eras import Place
from support.histories.faults import Found
from support.histories.key_chains import chains
from support.histories.view import History


def order_by_key(history: History) -> Found:
    """A message of a key is handed out only after somebody has asked for each earlier one of it to be settled.

    So at no time two of them are in flight, and what is handled with success is handled in the order of offsets. When
    it was settled nobody can see, and an ack that came late settles as well as one that did not.
    """
    if not history.order_by_key:
        return
    told: set[Place] = set()
    for places in chains(history).values():
        earlier: Place | None = None
        asked_at = -inf
        for place in places:
            for delivery in history.deliveries.get(place, ()):
                if delivery.seen < asked_at and earlier is not None and place not in told:
                    told.add(place)
                    came = [before.line for before in history.deliveries.get(earlier, ())]
                    yield f"{place} was handed out, and nobody had settled {earlier}, of the same key", [
                        *came, delivery.pull.line, delivery.line,
                    ]  # fmt: skip
            at = _asked_at(history, place)
            if at > asked_at:
                earlier, asked_at = place, at


def _asked_at(history: History, place: Place) -> float:
    """When it may have been settled at the earliest, or need not have come any more."""
    asked = (attempt.sent for attempt in history.tries_before(place) if attempt.settles)
    return min((*asked, history.need_not_come(place)), default=inf)
