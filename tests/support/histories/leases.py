"""Between which moments a lease was certainly live, and until when it may have been. Pure."""

from __future__ import annotations

from support.histories.events import OK
from support.histories.view import Attempt, Delivery, History, Message, Pull

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
    until = delivery.sent + delivery.pull.ack_wait - _CLOCK
    for attempt in sorted(history.tries[delivery.place], key=lambda attempt: attempt.sent):
        if attempt.works_until < since or attempt.sent > until:
            continue
        until = _cut(attempt, delivery, since, until)
    return until


def may_be_returned(history: History, first: Delivery, second: Delivery) -> bool:
    """Whether one of two deliveries may have been a loan that ended uncounted, to which the other one owes itself."""
    return (
        first.count == second.count
        and abs(first.seen - second.seen) <= LOAN + BUSY
        and (history.may_be_lent(first) or history.may_be_lent(second))
    )


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
        if delivery.sent < until and _free_at_the_latest(history, delivery, since) > since
    ]
    holding += [pull.line for pull in history.pulls if _may_hold(history, pull, message, since, until)]
    return holding


def _may_hold(history: History, pull: Pull, message: Message, since: float, until: float) -> bool:
    """Whether a pull of which nobody knows what it brought may have brought this message and hold it still."""
    noticed = pull.ended + _NOTICED
    if not pull.unseen or pull.sent >= until or noticed < message.asked.at:
        return False
    if pull.end and pull.end.outcome == "unwritten":
        return noticed + (0.0 if history.spans.is_alone(pull.sent, noticed) else LOAN) > since
    return _handed_on(history, noticed, noticed + pull.ack_wait, pull.ack_wait, since) > since


def _handed_on(history: History, taken: float, free: float, lasts: float, before: float) -> float:
    """When a lease ends at the latest that may have been handed over since it was taken.

    Whoever takes a partition over counts what is left of it by its own clock, from when it reads of it.
    """
    began = history.spans.last_began(before)
    return free if began <= taken else max(free, began + _NOTICED + lasts)


def _free_at_the_latest(history: History, delivery: Delivery, before: float) -> float:
    free, lasts = delivery.seen + delivery.pull.ack_wait, delivery.pull.ack_wait
    for attempt in sorted(history.tries[delivery.place], key=lambda attempt: attempt.sent):
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
