"""The judge: what may not be in a history, one function a rule. Pure: a history in, a verdict out.

Rules for this file: only what is certain is a fault. Whatever may have happened on the way, in an order that nobody
saw, counts for the worker. Duplicates are no faults (at least once); `support.histories.duplicates` counts them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, combinations
from math import inf

from support.histories.events import AnyEvent
from support.histories.leases import LOAN, held_for_sure, may_be_held, may_be_returned
from support.histories.view import Attempt, Delivery, History, Message, Place, Pull

#: An answer comes within the wait that was asked for and 5 s (`docs/api.md`); the rest is for a machine under load.
_ANSWERED_WITHIN = 5.0
_MACHINE = 2.0
#: A count of failed deliveries that rose is in the changelog within 1 s; the same.
_COUNTED_WITHIN = 2.5
#: A pull that waits so long gets a message that is free all the while: it stands back for another client for 1 s at
#: most, and a fetch that was dropped is missed after 0.5 s.
_SERVED_WITHIN = 3.5
_STATUSES = {200, 204, 429, 503}


@dataclass(frozen=True, slots=True)
class Fault:
    rule: str
    says: str
    #: The lines of the history that prove it, counted from 1.
    lines: tuple[int, ...]


Rule = Callable[[History], Iterator[tuple[str, Iterable[int]]]]


def judge(events: Iterable[AnyEvent]) -> list[Fault]:
    """Every fault, by rule."""
    history = History(events)
    return [
        Fault(name, says, tuple(sorted(set(lines) - {0})))
        for name, rule in RULES.items()
        for says, lines in rule(history)
    ]


def _named(place: Place) -> str:
    return f"p{place[0]}/{place[1]}"


def drained(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """When all is acked, the group's offsets come to be the ends of the logs."""
    if history.drain is None:
        yield "the history ends before its drain does", [history.last_line]
    elif not history.drain.complete:
        committed = history.commits[-1][0].offsets if history.commits else {}
        short = {p: (committed.get(p, 0), end) for p, end in history.drain.ends.items() if committed.get(p, 0) != end}
        yield f"the queue is not empty after the drain: committed and end, {short}", [history.drain_line]


def lost(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """A message is acked, or it comes in the drain."""
    for place, message in history.at_place.items():
        if any(attempt.settles for attempt in history.tries[place]):
            continue
        if any(delivery.seen >= history.drain_began for delivery in history.deliveries[place]):
            continue
        if history.drain and not history.drain.complete and may_be_held(history, message, history.drain.at, inf):
            continue
        came = [delivery.line for delivery in history.deliveries[place]]
        yield f"{_named(place)} was produced, nobody acked it, and it did not come", [
            message.end_line, *came, history.drain_line,
        ]  # fmt: skip


def settled_by_nobody(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """A message counts as settled only after somebody has asked for that."""
    for attempt in history.attempts:
        if attempt.status == "already_settled" and not any(
            other.sent <= attempt.ended and other is not attempt and other.entry.verb in ("ack", "reject")
            for other in history.tries[attempt.delivery.place]
        ):
            yield f"{_named(attempt.delivery.place)} is said to be settled, and nobody did", [
                attempt.delivery.line, attempt.line, attempt.end_line,
            ]  # fmt: skip


def acked_again(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """What was settled durably is not in the answer to a pull that was sent after that was answered."""
    for place, tries in history.tries.items():
        durably = [attempt for attempt in tries if attempt.has_settled and attempt.asked.durable]
        if not durably:
            continue
        first = min(durably, key=lambda attempt: attempt.ended)
        for delivery in history.deliveries[place]:
            if delivery.sent > first.ended:
                yield f"{_named(place)} was settled durably, and came again to {delivery.pull.asked.client}", [
                    first.delivery.line, first.line, first.end_line, delivery.pull.line, delivery.line,
                ]  # fmt: skip


def two_leases(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """A message is under one lease at a time."""
    for place, deliveries in history.deliveries.items():
        held = [(delivery, held_for_sure(history, delivery)) for delivery in deliveries]
        for index, (first, (since, until)) in enumerate(held):
            for second, (its_since, its_until) in held[index + 1 :]:
                if may_be_returned(history, first, second):
                    continue
                both = max(since, its_since) < min(until, its_until)
                handed_out_meanwhile = since <= second.sent and second.seen <= until
                if both or handed_out_meanwhile:
                    yield f"{_named(place)} was under two leases at once, of {_holders(first, second)}", [
                        first.pull.line, first.line, second.pull.line, second.line,
                    ]  # fmt: skip


def _holders(first: Delivery, second: Delivery) -> str:
    return f"{first.pull.asked.client} and {second.pull.asked.client}"


def delivery_count(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """The first is 1; each that ends badly makes it one more; what was written down is not forgotten."""
    unseen = [pull for pull in history.pulls if pull.unseen]
    for place, deliveries in history.deliveries.items():
        message = history.at_place.get(place)
        for delivery in deliveries:
            others = [other for other in deliveries if other is not delivery and other.sent < delivery.seen]
            possible = sum(_may_have_got(pull, message) for pull in unseen if pull.sent < delivery.seen)
            if delivery.count > 1 + len(others) + possible:
                yield f"{_named(place)} has the delivery count {delivery.count}, which is too high", [
                    *(other.line for other in others), delivery.pull.line, delivery.line,
                ]  # fmt: skip
        for index, first in enumerate(deliveries):
            for second in deliveries[index + 1 :]:
                if first.seen < second.sent and _forgotten(history, first, second):
                    yield f"the delivery count of {_named(place)} fell from {first.count} to {second.count}", [
                        first.pull.line, first.line, second.pull.line, second.line,
                    ]  # fmt: skip


def _may_have_got(pull: Pull, message: Message | None) -> bool:
    return message is None or pull.ended > message.asked.at


def _forgotten(history: History, first: Delivery, second: Delivery) -> bool:
    """Whether the second delivery, which came after the first, is counted too low."""
    span = history.spans.at(first.seen)
    if span is not None and second.seen <= span.until:
        return second.count < first.count or (second.count == first.count and not history.may_be_lent(first))
    written = first.seen + _COUNTED_WITHIN
    if history.troubled(first.seen, written) or second.count >= first.count:
        return False
    # Of a cluster: a partition that moves meanwhile may have had no time for its last row.
    return history.spans.is_alone(first.sent, written) or (span is not None and written <= span.until)


def committed(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """The group's offset is never above a message that nobody had yet sent an ack or a reject for."""
    first_sent: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for partition, offset in sorted(history.at_place):
        sent = [attempt.sent for attempt in history.tries[partition, offset] if attempt.entry.verb in ("ack", "reject")]
        first_sent[partition].append((offset, min(sent, default=inf)))
    latest = {p: list(accumulate((sent for _, sent in rows), max)) for p, rows in first_sent.items()}
    told: set[Place] = set()
    for event, line in history.commits:
        for partition, offset in event.offsets.items():
            rows = first_sent[partition]
            below = bisect_left(rows, (offset, -1.0))
            if not below or latest[partition][below - 1] < event.at:
                continue
            place = next((partition, row) for row, sent in rows[:below] if sent >= event.at)
            if place not in told:
                told.add(place)
                came = [delivery.line for delivery in history.deliveries[place]]
                yield f"committed {offset} although nobody had acked {_named(place)}", [
                    history.at_place[place].end_line, *came, line,
                ]  # fmt: skip


def never_produced(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """What is handed out was produced: there, with that key and that body, and in no transaction that was aborted."""
    for place, deliveries in history.deliveries.items():
        at = history.at_place.get(place)
        for delivery in deliveries:
            handed = delivery.handed
            sent = [message for message in history.by_body[handed.body] if message.asked.at <= delivery.seen]
            matching = [
                message
                for message in sent
                if (message.asked.partition, message.asked.key) == (handed.partition, handed.key)
                and message.place in (None, place)
                and not (message.end and message.end.outcome == "aborted")
            ]
            if not matching or (at is not None and at not in matching):
                wrong = {message.line for message in sent} | ({at.end_line} if at else set())
                yield f"{_named(place)} was handed out as what was never produced there", [*wrong, delivery.line]


def bad_status(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """No answer says that the worker failed, or refuses what `docs/api.md` allows."""
    for pull in history.pulls:
        if pull.end and pull.end.outcome == "answered" and pull.end.status not in _STATUSES:
            yield f"a pull was answered {pull.end.status}: {pull.end.error}", [pull.line, pull.end_line]
    for asked, line, end, end_line in history.settles:
        if end and end.outcome == "answered" and asked.pull is None and end.status not in _STATUSES:
            yield f"a settle was answered {end.status}: {end.error}", [line, end_line]


def genuine_lease_refused(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """Leases that were handed out are known, and of this era: nothing in a history begins another one."""
    for attempt in history.attempts:
        if attempt.status in ("lease_unknown", "gone"):
            yield f"the lease of {_named(attempt.delivery.place)} was answered {attempt.status}", [
                attempt.delivery.line, attempt.line, attempt.end_line,
            ]  # fmt: skip


def hung(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """An answer, or the end of the connection, comes within the wait and 5 s, not counting stops of the process."""
    spans = [
        (pull.sent, pull.ended, pull.asked.wait_ms / 1000, pull.asked.worker, pull.line, pull.end_line)
        for pull in history.pulls
    ]
    spans += [
        (asked.at, end.at if end else inf, 0.0, asked.worker, line, end_line)
        for asked, line, end, end_line in history.settles
        if asked.pull is None
    ]
    last = history.drain.at if history.drain else 0.0
    for sent, ended, wait, worker, line, end_line in spans:
        ended = min(ended, last) if ended == inf else ended
        took = ended - sent - history.paused(sent, ended, worker)
        if took > wait + _ANSWERED_WITHIN + _MACHINE:
            yield f"an answer took {took:.1f} s, {wait:g} s and {_ANSWERED_WITHIN:g} s were due", [line, end_line]


def not_handed_out(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """A message that is free for seconds comes to a client that waits all the while."""
    told: set[Place] = set()
    for pull in history.pulls:
        if pull.end is None or pull.end.outcome != "answered" or pull.deliveries or pull.end.empty != "no-message":
            continue
        until = pull.ended
        # In a cluster it may have been on its way to a client of another worker, and come back.
        due = _SERVED_WITHIN + (0.0 if history.spans.is_alone(pull.sent, until) else LOAN)
        since = until - due
        if pull.sent > since or not history.healthy(since, until):
            continue
        for place, message in history.at_place.items():
            if (
                place in told
                or message.end is None
                or message.end.at > since
                or _asked_to_settle(history, place, until)
            ):
                continue
            holders = may_be_held(history, message, since, until)
            if not holders:
                told.add(place)
                gone = [
                    line
                    for other in history.pulls
                    if _hung_up_on(other, message)
                    for line in (other.line, other.end_line)
                ]
                came = [delivery.line for delivery in history.deliveries[place] if delivery.seen < until]
                yield f"{_named(place)} was free for {due} s, and {pull.asked.client} waited in vain", [
                    message.end_line, *came, *gone, pull.line, pull.end_line,
                ]  # fmt: skip


def two_owners(history: History) -> Iterator[tuple[str, Iterable[int]]]:
    """In one generation of the group a partition has one owner."""
    for generation, owners in history.spans.assigned.items():
        for one, other in combinations(sorted(owners), 2):
            for partition in sorted(set(owners[one][0]) & set(owners[other][0])):
                yield f"workers {one} and {other} both have partition {partition} in generation {generation}", [
                    owners[one][1], owners[other][1],
                ]  # fmt: skip


def _asked_to_settle(history: History, place: Place, before: float) -> bool:
    return any(attempt.sent < before and attempt.settles for attempt in history.tries[place])


def _hung_up_on(pull: Pull, message: Message) -> bool:
    return bool(pull.end and pull.end.outcome == "unwritten" and pull.ended > message.asked.at)


RULES: dict[str, Rule] = {
    "drained": drained,
    "lost": lost,
    "settled by nobody": settled_by_nobody,
    "acked and again": acked_again,
    "two leases": two_leases,
    "delivery count": delivery_count,
    "committed": committed,
    "never produced": never_produced,
    "bad status": bad_status,
    "genuine lease refused": genuine_lease_refused,
    "hung": hung,
    "not handed out": not_handed_out,
    "two owners": two_owners,
}

__all__ = ["RULES", "Attempt", "Fault", "judge"]
