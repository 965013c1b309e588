"""Messages that were free while a client waited in vain. Pure.

Thousands of pulls come back empty in a long history of hundred thousands of messages, so not each is looked at for
each: a message that is known to be held is not looked at again before that may be over.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from math import inf

from support.histories.eras import Place
from support.histories.events import STABLE
from support.histories.holding import Holding
from support.histories.key_chains import settled_before
from support.histories.leases import LOAN, held_until, noticed, unseen_until
from support.histories.records import Message, Pull
from support.histories.view import History

#: A pull that waits so long gets a message that is free all the while: it stands back for another client for 1 s at
#: most, and a fetch that was dropped is missed after 0.5 s.
_SERVED_WITHIN = 3.5


def waited_in_vain(history: History) -> Iterator[tuple[Message, Place, Pull, float]]:
    """Each message that was free for so many seconds in which a pull of a worker without troubles got nothing."""
    told: set[int] = set()
    for due, pulls in _empty_ones(history).items():
        candidates = _Candidates(history)
        for pull in sorted(pulls, key=lambda pull: pull.ended):
            for message, place in candidates.free(pull.ended - due, pull.ended):
                if id(message) not in told:
                    told.add(id(message))
                    yield message, place, pull, due


def _empty_ones(history: History) -> dict[float, list[Pull]]:
    """Those that waited long enough for it, by what is enough."""
    empty: dict[float, list[Pull]] = defaultdict(list)
    holding = Holding(history)
    for pull in history.pulls:
        if pull.end is None or pull.end.outcome != "answered" or pull.deliveries or pull.end.empty != "no-message":
            continue
        # In a cluster it may have been on its way to a client of another worker, and come back.
        due = _SERVED_WITHIN + (0.0 if history.spans.is_alone(pull.sent, pull.ended) else LOAN)
        since = pull.ended - due
        if pull.sent <= since and history.healthy(since, pull.ended) and _may_have_any(history, holding, pull, since):
            empty[due].append(pull)
    return empty


def _may_have_any(history: History, holding: Holding, pull: Pull, since: float) -> bool:
    """Whether whatever is free may be handed to its group: by message stable has what others do not take."""
    if not history.shares.reads:
        return pull.group == STABLE
    shares = holding.between(since, pull.ended)
    return shares is not None and shares.by == "message" and pull.group == STABLE and bool(shares.weights.get(STABLE))


class _Candidates:
    """Messages that may be free; asked for windows of one length, in their order."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._unseen = _Unseen(history)
        #: From when on it is to be looked at; a number, for the heap; the message, its place, until when it is of any
        #: interest.
        self._heap: list[tuple[float, int, Message, Place, float]] = []
        out_at = settled_before(history) if history.order_by_key else {}
        for number, (message, place) in enumerate(history.produced()):
            assert message.end is not None
            asked = (one.sent for era in history.places(message) for one in history.tries.get(era, ()) if one.settles)
            over = min((*asked, history.need_not_come(place)), default=inf)
            self._heap.append((max(message.end.at, out_at.get(place, 0.0)), number, message, place, over))
        heapq.heapify(self._heap)

    def free(self, since: float, until: float) -> list[tuple[Message, Place]]:
        """Those that nobody can have held, settled or removed in all this time."""
        found = []
        again = []
        brought = self._unseen.brought_before(since, until)
        while self._heap and self._heap[0][0] <= since:
            _, number, message, place, over = heapq.heappop(self._heap)
            if over < until:
                continue
            held = held_until(self._history, message, since, until)
            if held <= since and message.asked.at > brought:
                found.append((message, place))
            else:
                again.append((max(held, since), number, message, place, over))
        for one in again:
            heapq.heappush(self._heap, one)
        return found


class _Unseen:
    """Pulls of which nobody knows what they brought."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._pulls = sorted(history.unseen, key=noticed)
        self._times = [noticed(pull) for pull in self._pulls]
        #: The earliest that one of those from here on was sent.
        self._sent_from = list(accumulate((pull.sent for pull in reversed(self._pulls)), min))[::-1]
        self._longest = max((pull.ack_wait for pull in self._pulls), default=0.0)
        self._of_a_span = lru_cache(maxsize=4)(self._by_length)

    def brought_before(self, since: float, until: float) -> float:
        """What was produced until then, such a pull may have brought, and keep from being free in all this time."""
        began = self._history.spans.last_began(since)
        # Of what was taken before the last move nobody knows how often it was handed on: as long as it lasts.
        lasts, brought = self._of_a_span(began)
        index = bisect_left(lasts, began - since)
        latest = brought[index - 1] if index else -inf
        first = bisect_left(self._times, since - self._longest - LOAN)
        last = bisect_left(self._sent_from, until)
        for pull in reversed(self._pulls[first:last]):
            if noticed(pull) <= latest:
                break
            if pull.sent < until and unseen_until(self._history, pull, since) > since:
                return noticed(pull)
        return latest

    def _by_length(self, began: float) -> tuple[list[float], list[float]]:
        """Of those taken before this span: how long their leases may last in it, and the latest of the longer ones."""
        ended = self._pulls[: bisect_left(self._times, began)]
        longest = sorted((-pull.ack_wait - 1.0, noticed(pull)) for pull in ended if not _unwritten(pull))
        return [lasts for lasts, _ in longest], list(accumulate((at for _, at in longest), max))


def _unwritten(pull: Pull) -> bool:
    return pull.end is not None and pull.end.outcome == "unwritten"
