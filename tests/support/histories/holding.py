"""Which shares certainly held at all workers, and which groups were certainly alive. Pure.

Versions only rise. So if somebody is shown a version at two moments it held all the time between, but for those who had
not heard of it yet, or had heard of the next one already: they have `IN_EFFECT` for that.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import inf

from support.histories.events import Shares
from support.histories.shares_log import rank
from support.histories.view import History

#: A change is in effect everywhere 2 s after it was answered (`docs/api.md`); the rest is for a machine under load.
IN_EFFECT = 2.0 + 1.0
#: A client is heard of when its pull has been read, and other workers hear of its group with the next heartbeat.
_HEARD = 3.0
#: `--client-ttl`, less what an answer may take.
_LIVES_ON = 10.0 - 3.0


@dataclass(slots=True)
class _Span:
    shares: Shares
    since: float
    until: float = -inf


class Holding:
    """The spans in which shares held at all workers."""

    def __init__(self, history: History) -> None:
        self._history = history
        spans: dict[tuple[int, int], _Span] = {}
        for at, shares in self._shown():
            span = spans.setdefault(rank(shares), _Span(shares, at))
            span.since = min(span.since, at)
        for read, _ in history.shares.reads:
            # Who hears nothing goes on saying what is over elsewhere.
            if not history.deafened(read.sent - IN_EFFECT, read.at):
                span = spans[rank(read.shares)]
                span.until = max(span.until, read.sent - IN_EFFECT)
        for span in spans.values():
            # Until somebody asks for another one nobody has it.
            span.until = max(span.until, min(self._superseded(span), span.until + IN_EFFECT))
            span.since = self._heard_everywhere(span.since)
        self._spans = sorted((span for span in spans.values() if span.since < span.until), key=lambda span: span.since)

    def _shown(self) -> list[tuple[float, Shares]]:
        answers = [(change.end.at, change.end.shares) for change in self._history.shares.changes if change.end]
        shown = [(at, shares) for at, shares in answers if shares is not None]
        return shown + [(read.at, read.shares) for read, _ in self._history.shares.reads]

    def _superseded(self, span: _Span) -> float:
        """When the next one may have come to hold at the earliest, anywhere; whom a guard watches may be any time."""
        made = [change for change in self._history.shares.changes if change.answered == span.shares]
        if not made or any(change.asked.guarded for change in made):
            return -inf
        others = (change for change in self._history.shares.changes if not change.is_over(span.shares, span.since))
        return min((change.asked.at for change in others), default=inf)

    def _heard_everywhere(self, known: float) -> float:
        heard = known + IN_EFFECT
        for trouble in sorted(self._history.troubles, key=lambda trouble: trouble.began):
            if trouble.deafens and trouble.began <= heard and trouble.felt_until > heard - IN_EFFECT:
                heard = trouble.felt_until + IN_EFFECT
        return heard

    def between(self, since: float, until: float) -> Shares | None:
        """What held at all workers all this time; none: nobody knows, or it was not one and the same."""
        return next((span.shares for span in self._spans if span.since <= since and until <= span.until), None)


class Presence:
    """When groups certainly had a client that was alive."""

    def __init__(self, history: History) -> None:
        self._history = history
        spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for pull in history.pulls:
            if pull.end and pull.end.outcome != "refused":
                lives_on = _LIVES_ON if pull.end.outcome == "answered" else 0.0
                spans[pull.group].append((pull.sent + _HEARD, pull.ended + lives_on))
        self._spans = {group: _merged(sorted(several)) for group, several in spans.items()}

    def alive(self, group: str, since: float, until: float) -> bool:
        """Whether all workers knew of one all this time."""
        if self._history.troubled(since - _HEARD, until):
            return False
        return any(began <= since and until <= ended for began, ended in self._spans.get(group, ()))


def _merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for began, ended in spans:
        if merged and began <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], ended)
        else:
            merged.append((began, ended))
    return merged
