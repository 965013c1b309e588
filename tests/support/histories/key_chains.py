"""Messages of one key in the order of their offsets, and when those before each were settled. Pure."""

from __future__ import annotations

from collections import defaultdict
from math import inf

from support.histories.eras import Place
from support.histories.view import History


def chains(history: History) -> dict[tuple[int, int, str], list[Place]]:
    """Of each partition, era and key the places where something certainly is, in the order of offsets."""
    chains: dict[tuple[int, int, str], list[Place]] = defaultdict(list)
    for message, _ in history.produced():
        if message.ok and message.asked.key is not None:
            for place in history.places(message):
                chains[place.partition, place.era, message.asked.key].append(place)
    for places in chains.values():
        places.sort(key=lambda place: place.offset)
    return chains


def settled_before(history: History) -> dict[Place, float]:
    """When all earlier messages of its key were settled for certain."""
    #: Nobody knows where those are that nobody knows of whether they are anywhere.
    unknown: dict[tuple[int, str | None], float] = {}
    for message in history.messages:
        if message.end is None or message.end.outcome == "unknown":
            unknown.setdefault((message.asked.partition, message.asked.key), message.asked.at)
    settled_before: dict[Place, float] = {}
    for (partition, _, key), places in chains(history).items():
        latest = 0.0
        for place in places:
            message_at = history.message(place)
            if message_at is not None and unknown.get((partition, key), inf) < message_at.asked.at:
                latest = inf
            settled_before[place] = latest
            ended = (attempt.ended for attempt in history.tries.get(place, ()) if attempt.has_settled)
            latest = max(latest, min(ended, default=inf))
    return settled_before
