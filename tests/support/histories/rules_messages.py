"""Rules about messages: nothing is lost, and what is settled stays settled. One function a rule; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from itertools import accumulate
from math import inf

from support.histories.eras import Place
from support.histories.faults import Found
from support.histories.leases import may_be_held
from support.histories.view import History


def drained(history: History) -> Found:
    """When all is acked, the group's offsets come to be the ends of the logs."""
    if history.drain is None:
        yield "the history ends before its drain does", [history.last_line]
    elif not history.drain.complete:
        committed = history.commits[-1][0].offsets if history.commits else {}
        short = {p: (committed.get(p, 0), end) for p, end in history.drain.ends.items() if committed.get(p, 0) != end}
        yield f"the queue is not empty after the drain: committed and end, {short}", [history.drain_line]


def lost(history: History) -> Found:
    """A message is acked, or it comes in the drain."""
    for message, place in history.produced():
        if history.need_not_come(place) < inf or any(attempt.settles for attempt in history.tries_before(place)):
            continue
        deliveries = history.deliveries.get(place, ())
        if any(delivery.seen >= history.drain_began for delivery in deliveries):
            continue
        if history.drain and not history.drain.complete and may_be_held(history, message, history.drain.at, inf):
            continue
        came = [delivery.line for delivery in deliveries]
        yield f"{place} was produced, nobody acked it, and it did not come", [
            message.end_line, *came, history.drain_line,
        ]  # fmt: skip


def settled_by_nobody(history: History) -> Found:
    """A message counts as settled only after somebody has asked for that."""
    for attempt in history.attempts:
        if attempt.status != "already_settled":
            continue
        place = attempt.delivery.place
        eras = history.eras.places(place.partition, place.offset, history.eras.log_of(place))
        asked = any(
            other.sent <= attempt.ended and other is not attempt and other.entry.verb in ("ack", "reject")
            for era in eras
            for other in history.tries.get(era, ())
        )
        if not asked and all(history.need_not_come(era) > attempt.ended for era in eras):
            yield f"{place} is said to be settled, and nobody did", [
                attempt.delivery.line, attempt.line, attempt.end_line,
            ]  # fmt: skip


def acked_again(history: History) -> Found:
    """What was settled durably is not in the answer to a pull that was sent after that was answered."""
    for place, tries in history.tries.items():
        durably = [attempt for attempt in tries if attempt.has_settled and attempt.asked.durable]
        if not durably:
            continue
        first = min(durably, key=lambda attempt: attempt.ended)
        for delivery in history.deliveries[place]:
            if delivery.sent > first.ended:
                yield f"{place} was settled durably, and came again to {delivery.pull.asked.client}", [
                    first.delivery.line, first.line, first.end_line, delivery.pull.line, delivery.line,
                ]  # fmt: skip


def committed(history: History) -> Found:
    """The group's offset is never above a message that nobody had yet sent an ack or a reject for."""
    asked = _asked_by_era(history)
    told: set[Place] = set()
    for event, line in history.commits:
        for partition, offset in event.offsets.items():
            era = history.eras.certain(partition, event.sent, event.at)
            rows, latest = asked.get((partition, -1 if era is None else era), ((), ()))
            below = bisect_left(rows, (offset, -1.0))
            if not below or latest[below - 1] < event.at:
                continue
            place = Place(partition, next(row for row, sent in rows[:below] if sent >= event.at), era or 0)
            if place not in told:
                told.add(place)
                message = history.message(place)
                came = [delivery.line for delivery in history.deliveries.get(place, ())]
                yield f"committed {offset} although nobody had acked {place}", [
                    message.end_line if message else 0, *came, line,
                ]  # fmt: skip


#: Offsets of a partition, ascending, with when each was first asked to be settled; and the latest of these up to each.
_Asked = tuple[list[tuple[int, float]], list[float]]


def _asked_by_era(history: History) -> dict[tuple[int, int], _Asked]:
    rows: dict[tuple[int, int], list[tuple[int, float]]] = defaultdict(list)
    for message, _ in history.produced():
        for place in history.places(message):
            tries = history.tries_before(place)
            sent = [attempt.sent for attempt in tries if attempt.entry.verb in ("ack", "reject")]
            rows[place.partition, place.era].append((place.offset, min((*sent, history.need_not_come(place)))))
    for several in rows.values():
        several.sort()
    return {key: (several, list(accumulate((sent for _, sent in several), max))) for key, several in rows.items()}


def never_produced(history: History) -> Found:
    """What is handed out was produced: there, with that key and that body, and in no transaction that was aborted."""
    for place, deliveries in history.deliveries.items():
        at = history.message(place)
        log = history.eras.log_of(place)
        for delivery in deliveries:
            handed = delivery.handed
            sent = [message for message in history.by_body.get(handed.body, ()) if message.asked.at <= delivery.seen]
            matching = [
                message
                for message in sent
                if (message.asked.partition, message.asked.key, message.log) == (handed.partition, handed.key, log)
                and message.offset in (None, place.offset)
                and not (message.end and message.end.outcome == "aborted")
            ]
            if not matching or (at is not None and at not in matching):
                wrong = {message.line for message in sent} | ({at.end_line} if at else set())
                yield f"{place} was handed out as what was never produced there", [*wrong, delivery.line]


def deleted_log(history: History) -> Found:
    """What was in a log that is no more is not in the answer to a pull that was sent after the topic was made anew."""
    for place, deliveries in history.deliveries.items():
        begun = history.eras.log_ended(history.eras.log_of(place))
        for delivery in deliveries:
            if delivery.sent > begun:
                yield f"{place} was handed out of a log that had been deleted", [delivery.pull.line, delivery.line]


def joined_anew(history: History) -> Found:
    """Of broadcast: a group that comes begins behind what was handed out to anybody before it was asked for."""
    life = history.life
    if life is None or not life.anew:
        return
    for place, deliveries in history.deliveries.items():
        offered, at = life.offered.get(place.partition, (-1, 0.0))
        # A new owner begins with what is not settled by all; how far the one before had come it does not know.
        if place.offset <= offered and not history.spans.may_have_moved(at, life.joined):
            for delivery in deliveries:
                yield f"{place} had been handed out before {life.group} was there", [delivery.pull.line, delivery.line]
