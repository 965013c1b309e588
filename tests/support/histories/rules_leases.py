"""Rules about leases: who has a message, how often it was given, and which tokens count. One function a rule; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from support.histories.duplicates import UNEXPLAINED, causes
from support.histories.faults import Found
from support.histories.leases import at_once, free_at_the_latest
from support.histories.records import Delivery, Message, Pull
from support.histories.view import History

#: A count of failed deliveries that rose is in the changelog within 1 s; the rest is for a machine under load.
_COUNTED_WITHIN = 2.5
#: A pull that was sent so long ago has been read, busy as the worker may be.
_READ_WITHIN = 3.0
#: Statuses of an entry that nobody looked at further.
_NOT_TRIED = frozenset({None, "retry"})


def two_leases(history: History) -> Found:
    """A message is under one lease at a time."""
    for place, deliveries in history.deliveries.items():
        for index, first in enumerate(deliveries):
            for second in deliveries[index + 1 :]:
                if at_once(history, first, second):
                    holders = f"{first.pull.asked.client} and {second.pull.asked.client}"
                    yield f"{place} was under two leases at once, of {holders}", _lines(first, second)


def _lines(first: Delivery, second: Delivery) -> list[int]:
    return [first.pull.line, first.line, second.pull.line, second.line]


def unexplained_duplicate(history: History) -> Found:
    """A message comes again for a reason."""
    for cause, before, again in causes(history):
        if cause == UNEXPLAINED and before is not None and not at_once(history, before, again):
            yield f"{again.place} came again, and nothing had happened that explains it", _lines(before, again)


def delivery_count(history: History) -> Found:
    """The first is 1; each that ends badly makes it one more; what was written down is not forgotten."""
    for place, deliveries in history.deliveries.items():
        message = history.message(place)
        # In earlier eras, and of a group that may have been dropped before it was.
        earlier = [
            one
            for part in history.back()
            for era in part.eras.before(place)
            for one in part.deliveries.get(era, ())
            if era != place or part is not history
        ]
        for delivery in deliveries:
            others = [other for other in deliveries if other is not delivery and other.sent < delivery.seen]
            counted = 1 + len(others) + len(earlier)
            if delivery.count > counted and delivery.count > counted + _unseen_before(history, message, delivery):
                yield f"{place} has the delivery count {delivery.count}, which is too high", [
                    *(other.line for other in (*earlier, *others)), delivery.pull.line, delivery.line,
                ]  # fmt: skip
        for index, first in enumerate(deliveries):
            for second in deliveries[index + 1 :]:
                if first.seen < second.sent and second.count < _at_least(history, first, second):
                    yield (
                        f"the delivery count of {place} fell from {first.count} to {second.count}",
                        (_lines(first, second)),
                    )


def _unseen_before(history: History, message: Message | None, delivery: Delivery) -> int:
    """How many times more it may have been handed out, to who did not live to tell."""
    since = message.asked.at if message else -1.0
    return sum(part.unseen_between(since, delivery.seen) for part in history.back())


def _at_least(history: History, first: Delivery, second: Delivery) -> int:
    """The lowest count that a delivery may have that came after another one.

    A sudden end of the owner takes with it what was counted since the last row.
    """
    span = history.spans.at(first.seen)
    failed = 0 if history.may_be_lent(first) else 1
    if span is not None and second.seen <= span.until:
        return first.count + failed

    def is_written(counted: float) -> bool:
        written = counted + _COUNTED_WITHIN
        # Of a cluster: a partition that moves meanwhile may have had no time for its last row.
        kept = history.spans.is_alone(first.sent, written) or (span is not None and written <= span.until)
        return kept and written < second.sent and not history.shaken(first.seen, written)

    ended = free_at_the_latest(history, first, first.seen)
    asked = any(attempt.settles and attempt.sent < second.seen for attempt in history.tries.get(first.place, ()))
    if failed and not asked and is_written(ended):
        return first.count + 1
    return first.count if is_written(first.seen) else 0


def same_client_again(history: History) -> Found:
    """What a client failed goes to another one that waits at its owner, and never to the same one before that."""
    waiting = _Waiting(history)
    for place, deliveries in history.deliveries.items():
        for first, second in pairwise(deliveries):
            other = waiting.other_than(first, second) if _failed_by_it(history, first, second) else None
            if other is not None:
                yield f"{place} came to {first.pull.asked.client} again, and {other.asked.client} waited", [
                    *_lines(first, second), other.line, other.end_line,
                ]  # fmt: skip


def _failed_by_it(history: History, first: Delivery, second: Delivery) -> bool:
    """Whether the client of both certainly was the last one that had it, with a worker that is alone."""
    span = history.spans.at(first.seen)
    return (
        first.pull.asked.client == second.pull.asked.client
        and second.count == first.count + 1
        and span is not None
        and second.seen <= span.until
        and len(span.workers) == 1
        # An answer that was not written goes back, and then anybody may have it.
        and not history.unseen_between(first.seen - _READ_WITHIN, second.seen)
    )


class _Waiting:
    """Pulls that waited and got nothing, and what their clients held."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._empty = sorted(
            (pull for pull in history.pulls if pull.end and pull.end.empty == "no-message"),
            key=lambda pull: pull.sent,
        )
        self._longest = max((pull.asked.wait_ms for pull in self._empty), default=0) / 1000
        self._of_client: dict[str, list[Delivery]] = defaultdict(list)
        for deliveries in history.deliveries.values():
            for delivery in deliveries:
                self._of_client[delivery.pull.asked.client].append(delivery)

    def other_than(self, first: Delivery, second: Delivery) -> Pull | None:
        """One of another client that was waiting at the same worker all the time in which the second was given."""
        began = bisect_left(self._empty, second.seen - self._longest, key=lambda pull: pull.sent)
        ended = bisect_left(self._empty, second.sent - _READ_WITHIN, key=lambda pull: pull.sent)
        for pull in self._empty[began:ended]:
            if (
                pull.asked.worker == second.pull.asked.worker
                and pull.asked.client != second.pull.asked.client
                and pull.group == second.group
                and pull.ended > second.seen
                and pull.sent + pull.asked.wait_ms / 1000 > second.seen
                and not self._history.troubled(pull.sent, second.seen)
                and not self._holds_something(pull.asked.client, second)
            ):
                return pull
        return None

    def _holds_something(self, client: str, at: Delivery) -> bool:
        """Whether it may be at its limit, which is one message for who has let many expire."""
        return any(
            delivery.sent < at.seen
            and free_at_the_latest(self._history, delivery, at.sent) > at.sent
            and not self._is_done(delivery, at.sent)
            for delivery in self._of_client.get(client, ())
        )

    def _is_done(self, delivery: Delivery, before: float) -> bool:
        tries = self._history.tries.get(delivery.place, ())
        return any(attempt.has_settled and attempt.ended < before for attempt in tries)


# Tokens --------------------------------------------------------------------------------------------------------------


def genuine_lease_refused(history: History) -> Found:
    """Leases that were handed out are known, and of this era until another one begins or the message is gone."""
    for attempt in history.attempts:
        place = attempt.delivery.place
        ended, _ = history.eras.token_ended(place)
        excused = attempt.status == "gone" and min(ended, history.gone_at(place)) <= attempt.ended
        if attempt.status in ("lease_unknown", "gone") and not excused:
            yield f"the lease of {place} was answered {attempt.status}", [
                attempt.delivery.line, attempt.line, attempt.end_line,
            ]  # fmt: skip


def old_lease_accepted(history: History) -> Found:
    """A lease of an era that is over is gone, whatever has become of its message."""
    for attempt in history.attempts:
        _, ended = history.eras.token_ended(attempt.delivery.place)
        if attempt.sent > ended and attempt.status not in (_NOT_TRIED | {"gone"}):
            yield f"the lease of {attempt.delivery.place}, of an era that was over, was answered {attempt.status}", [
                attempt.delivery.line, attempt.line, attempt.end_line,
            ]  # fmt: skip


def forged_lease_accepted(history: History) -> Iterator[tuple[str, list[int]]]:
    """A token that nobody gave is known to nobody."""
    for forgery in history.forgeries:
        if forgery.status not in (_NOT_TRIED | {"lease_unknown"}):
            yield f"a token that is {forgery.entry.forged} was answered {forgery.status}", [
                forgery.line, forgery.end_line,
            ]  # fmt: skip
