"""Between which moments a lease was certainly live, and until when it may have been. Pure."""

from __future__ import annotations

from support.histories.events import OK
from support.histories.records import Attempt, Delivery, Message, Pull
from support.histories.view import History

_CLOCK = 0.005
#: A connection that is closed is seen as closed by the worker after this, busy as it may be.
_NOTICED = 1.0
#: An answer that another worker had on loan is free again after this if nobody says that its client has it
#: (`fanout_app.cluster.answering.LOAN`), or with the connection; the rest is for a machine under load.
LOAN = 2.0
BUSY = 2.0
#: The longest that the default delay of a nack in a history can be (`fanout_app.core.redelivery.Backoff`).
_BACKOFF = 10.0


def held_for_sure(history: History, delivery: Delivery) -> tuple[float, float]:
    """From when its client had it until when it must have had it, as nobody settled, returned or moved it.

    What was on loan may have been returned: see `returned_to_be`.
    """
    span = history.spans.at(delivery.seen)
    if span is None or delivery.pull.asked.worker not in span.workers:
        return delivery.seen, delivery.seen
    return delivery.seen, min(lasts_until(history, delivery), span.until)


def lasts_until(history: History, delivery: Delivery) -> float:
    """When its lease may have ended at the earliest, if it was never cut short by a move."""
    since = delivery.seen
    # From then on it may end at any moment.
    until = min(_ends(delivery), max(since, history.gone_at(delivery.place)))
    for attempt in history.tries.get(delivery.place, ()):
        if attempt.works_until >= since and attempt.sent <= until:
            until = _cut(attempt, delivery, since, until)
    return until


def expires_at_the_earliest(history: History, delivery: Delivery) -> float:
    """When its time may have been up at the earliest, whatever anybody did to settle its message."""
    until = _ends(delivery)
    for attempt in history.tries.get(delivery.place, ()):
        if attempt.entry.verb == "extend" and attempt.works_until >= delivery.seen and attempt.sent <= until:
            until = _cut(attempt, delivery, delivery.seen, until)
    return until


def _ends(delivery: Delivery) -> float:
    return delivery.sent + delivery.pull.ack_wait - _CLOCK


def may_be_returned(history: History, first: Delivery, second: Delivery) -> bool:
    """Whether one of two deliveries may have been a loan that ended uncounted, to which the other one owes itself."""
    return _took_its_place(history, first, second) or _had_been_returned(history, first, second)


def _took_its_place(history: History, first: Delivery, second: Delivery) -> bool:
    return (
        first.count == second.count
        and abs(first.seen - second.seen) <= LOAN + BUSY
        and (history.may_be_lent(first) or history.may_be_lent(second))
    )


def _had_been_returned(history: History, *both: Delivery) -> bool:
    """Whether the one with the lower count may have been a loan to whose end a third delivery owes itself.

    That one was not counted more than the loan, and the other of the two was, because that one ended badly.
    """
    lower, higher = sorted(both, key=lambda delivery: delivery.count)
    if lower.count == higher.count or not history.may_be_lent(lower):
        return False
    if history.unseen_between(lower.seen, min(higher.seen, lower.seen + LOAN + BUSY)):
        return True
    others = (third for third in history.deliveries[lower.place] if third not in both)
    return any(_took_its_place(history, lower, third) for third in others)


def _cut(attempt: Attempt, delivery: Delivery, since: float, until: float) -> float:
    """What is left of a lease that is sure until then, when this has been tried."""
    mine = attempt.delivery is delivery
    verb = attempt.entry.verb
    if verb == "extend":
        if not mine or attempt.status not in (OK, "retry", None):
            return until
        extended = attempt.sent + (attempt.entry.ack_wait_ms or 0) / 1000 - _CLOCK
        return extended if attempt.status == OK else min(until, extended)
    if (verb == "nack" and mine and attempt.status in (OK, "retry", None)) or attempt.settles:
        return max(since, attempt.sent)
    return until


def at_once(history: History, first: Delivery, second: Delivery) -> bool:
    """Whether two deliveries, the first of which was seen first, certainly were under way under two live leases."""
    since, until = held_for_sure(history, first)
    its_since, its_until = held_for_sure(history, second)
    both = max(since, its_since) < min(until, its_until)
    under_way = both or (since <= second.sent and second.seen <= until)
    return under_way and not may_be_returned(history, first, second)


def may_be_held(history: History, message: Message, since: float, until: float) -> bool:
    """Whether anybody may have kept an unsettled message from being free all the time between two moments."""
    return held_until(history, message, since, until) > since or any(
        _may_hold(history, pull, message, since, until) for pull in history.unseen
    )


def held_until(history: History, message: Message, since: float, until: float) -> float:
    """When the last of the leases on a message that are known and began before ``until`` ends, at the latest."""
    return max(
        (
            free_at_the_latest(history, delivery, since)
            for place in history.places(message)
            for delivery in history.deliveries.get(place, ())
            if delivery.sent < until
        ),
        default=0.0,
    )


def _may_hold(history: History, pull: Pull, message: Message, since: float, until: float) -> bool:
    """Whether a pull of which nobody knows what it brought may have brought this message and hold it still."""
    if pull.sent >= until or noticed(pull) < message.asked.at:
        return False
    return unseen_until(history, pull, since) > since


def noticed(pull: Pull) -> float:
    """When its worker knows at the latest that nobody waits for the answer any more."""
    return pull.ended + _NOTICED


def unseen_until(history: History, pull: Pull, before: float) -> float:
    """When a lease of which nobody knows, of an unseen pull, ends at the latest."""
    if pull.end and pull.end.outcome == "unwritten":
        return noticed(pull) + (0.0 if history.spans.is_alone(pull.sent, noticed(pull)) else LOAN)
    return _handed_on(history, noticed(pull), noticed(pull) + pull.ack_wait, pull.ack_wait, before)


def _handed_on(history: History, taken: float, free: float, lasts: float, before: float) -> float:
    """When a lease ends at the latest that may have been handed over since it was taken.

    Whoever takes a partition over counts what is left of it by its own clock, from when it reads of it.
    """
    began = history.spans.last_began(before)
    return free if began <= taken else max(free, began + _NOTICED + lasts)


def free_at_the_latest(history: History, delivery: Delivery, before: float) -> float:
    """When its lease ends at the latest, if nobody settles, and what a nack has put off."""
    free, lasts = delivery.seen + delivery.pull.ack_wait, delivery.pull.ack_wait
    for attempt in history.tries.get(delivery.place, ()):
        if attempt.delivery is not delivery:
            continue
        verb = attempt.entry.verb
        more: float | None = None
        if verb == "extend" and attempt.status in (OK, "retry", None):
            more = (attempt.entry.ack_wait_ms or 0) / 1000
        elif verb == "nack" and attempt.status in (OK, "retry", None):
            delay = attempt.entry.delay_ms
            more = _BACKOFF if delay is None else delay / 1000
        elif verb == "reject" and attempt.status != OK:
            more = 60.0  # it stays leased while it is being put away
        if more is not None:
            lasts = max(lasts, more)
            until = attempt.works_until + more
            free = until if attempt.status == OK else max(free, until)
    return _handed_on(history, delivery.seen, free, lasts, before)
