"""Between which moments a lease was certainly live, and until when it may have been. Pure."""

from __future__ import annotations

from support.histories.events import OK
from support.histories.view import Attempt, Delivery, History, Message, Pull

_CLOCK = 0.005
#: A connection that is closed is seen as closed by the worker after this, busy as it may be.
_NOTICED = 1.0
#: The longest that the default delay of a nack in a history can be (`fanout_app.core.redelivery.Backoff`).
_BACKOFF = 10.0


def held_for_sure(history: History, delivery: Delivery) -> tuple[float, float]:
    """From when its client had it until when it must have had it, as nobody settled, returned or moved it."""
    since = delivery.seen
    span = history.span_at(since)
    if span is None or span.worker != delivery.pull.asked.worker:
        return since, since
    until = delivery.sent + delivery.pull.ack_wait - _CLOCK
    for attempt in sorted(history.tries[delivery.place], key=lambda attempt: attempt.sent):
        if attempt.works_until < since or attempt.sent > until:
            continue
        until = _cut(attempt, delivery, since, until)
    return since, min(until, span.until)


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


def may_be_held(history: History, message: Message, since: float, until: float) -> list[int]:
    """The lines of whatever may have kept an unsettled message from being free all the time between two moments."""
    place = message.place
    assert place is not None
    holding = [
        delivery.line
        for delivery in history.deliveries[place]
        if delivery.sent < until and _free_at_the_latest(history, delivery) > since
    ]
    holding += [pull.line for pull in history.pulls if _may_hold(pull, message, since, until)]
    return holding


def _may_hold(pull: Pull, message: Message, since: float, until: float) -> bool:
    """Whether a pull of which nobody knows what it brought may have brought this message and hold it still."""
    if not pull.unseen or pull.sent >= until or pull.ended + _NOTICED < message.asked.at:
        return False
    if pull.end and pull.end.outcome == "unwritten":
        return pull.ended + _NOTICED > since
    return pull.ended + _NOTICED + pull.ack_wait > since


def _free_at_the_latest(history: History, delivery: Delivery) -> float:
    free = delivery.seen + delivery.pull.ack_wait
    for attempt in sorted(history.tries[delivery.place], key=lambda attempt: attempt.sent):
        if attempt.delivery is not delivery:
            continue
        verb = attempt.entry.verb
        if verb == "extend" and attempt.status in (OK, "retry", None):
            extended = attempt.works_until + (attempt.entry.ack_wait_ms or 0) / 1000
            free = extended if attempt.status == OK else max(free, extended)
        elif verb == "nack" and attempt.status in (OK, "retry", None):
            delay = attempt.entry.delay_ms
            delayed = attempt.works_until + (_BACKOFF if delay is None else delay / 1000)
            free = delayed if attempt.status == OK else max(free, delayed)
        elif verb == "reject" and attempt.status != OK:
            free = attempt.works_until + 60.0  # it stays leased while it is being put away
    return free
