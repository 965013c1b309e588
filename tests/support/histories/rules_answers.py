"""Rules about answers and owners: what comes when, and from whom. One function a rule; pure."""

from __future__ import annotations

from itertools import combinations
from math import inf

from support.histories.faults import Found
from support.histories.records import Message, Pull
from support.histories.view import History
from support.histories.waiting import waited_in_vain

#: An answer comes within the wait that was asked for and 5 s (`docs/api.md`); the rest is for a machine under load.
_ANSWERED_WITHIN = 5.0
_MACHINE = 2.0
_STATUSES = {200, 204, 429, 503}


def bad_status(history: History) -> Found:
    """No answer says that the worker failed, or refuses what `docs/api.md` allows."""
    for pull in history.pulls:
        if pull.end and pull.end.outcome == "answered" and pull.end.status not in _STATUSES:
            yield f"a pull was answered {pull.end.status}: {pull.end.error}", [pull.line, pull.end_line]
    for asked, line, end, end_line in history.settles:
        if end and end.outcome == "answered" and asked.pull is None and end.status not in _STATUSES:
            yield f"a settle was answered {end.status}: {end.error}", [line, end_line]


def hung(history: History) -> Found:
    """An answer, or the end of the connection, comes within the wait and 5 s, not counting when none can have come."""
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
        due = wait + _ANSWERED_WITHIN + _MACHINE
        if ended - sent > due and (took := ended - sent - history.paused(sent, ended, worker)) > due:
            yield f"an answer took {took:.1f} s, {wait:g} s and {_ANSWERED_WITHIN:g} s were due", [line, end_line]


def not_handed_out(history: History) -> Found:
    """A message that is free for seconds comes to a client that waits all the while."""
    for message, place, pull, due in waited_in_vain(history):
        gone = [
            line for other in history.unseen if _hung_up_on(other, message) for line in (other.line, other.end_line)
        ]
        came = [delivery.line for delivery in history.deliveries.get(place, ()) if delivery.seen < pull.ended]
        yield f"{place} was free for {due} s, and {pull.asked.client} waited in vain", [
            message.end_line, *came, *gone, pull.line, pull.end_line,
        ]  # fmt: skip


def _hung_up_on(pull: Pull, message: Message) -> bool:
    return bool(pull.end and pull.end.outcome == "unwritten" and pull.ended > message.asked.at)


def two_owners(history: History) -> Found:
    """In one generation of the group a partition has one owner."""
    for (_, generation), owners in history.spans.assigned.items():
        for one, other in combinations(sorted(owners), 2):
            for partition in sorted(set(owners[one][0]) & set(owners[other][0])):
                yield f"workers {one} and {other} both have partition {partition} in generation {generation}", [
                    owners[one][1], owners[other][1],
                ]  # fmt: skip
