"""For how long each strike kept messages from clients. Pure.

What is measured: of one partition, a stretch in which messages that nobody had been handed yet were there all the time,
and none of them was handed out for the first time. It begins when the first of them was acknowledged to its producer or
when another one was handed out, whichever is later, and ends with the next first delivery. The stall of a strike is the
longest of these stretches, over all partitions, of what lies behind the beginning of the strike, if it begins before
`_FELT` seconds after the strike is over and before the next strike. That clients ask all the time is for the plan to
see to: a history's fast clients do.

What the producer could not write does not wait: a stall of the brokers shows in what was written just before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from support.histories.events import (
    AnyEvent,
    Began,
    Produced,
    Producing,
    Pulled,
    Remade,
    Rewound,
    Struck,
    Trimmed,
    Trouble,
)

#: Seconds after its end in which what begins to stall still stalls because of a strike: a rebalance and its recovery.
_FELT = 10.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Of one partition: messages waited, and no new one was handed out."""

    partition: int
    since: float
    #: Infinite: until the history ended.
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """What one strike did."""

    trouble: Trouble
    strike: int
    #: Seconds that the strike itself took, until what was hurt was ready again.
    lasted: float
    #: The longest stretch; 0: there was none.
    seconds: float
    partition: int
    #: Whether another strike went on, or was felt, in the meantime: then nobody can say which one it was.
    mixed: bool


@dataclass(slots=True)
class _Struck:
    trouble: Trouble
    number: int
    began: float
    ended: float = inf


def stalls(events: Sequence[AnyEvent]) -> list[Stall]:
    """That of each strike, in their order."""
    strikes = _strikes(events)
    last = events[-1].at if events else 0.0
    by_end = sorted(stretches(events), key=lambda stretch: stretch.until)
    ends = [stretch.until for stretch in by_end]
    found: list[tuple[_Struck, float, Stretch | None]] = []
    for strike in strikes:
        until = min([strike.ended + _FELT, *(other.began for other in strikes if other.began > strike.ended)])
        felt = [stretch for stretch in by_end[bisect_left(ends, strike.began) :] if stretch.since < until]
        longest = max(felt, key=lambda stretch: _of(stretch, strike, last), default=None)
        found.append((strike, min(longest.until, last) if longest else strike.began, longest))
    return [
        Stall(
            trouble=strike.trouble,
            strike=strike.number,
            lasted=round(min(strike.ended, last) - strike.began, 3),
            seconds=round(_of(longest, strike, last), 3) if longest else 0.0,
            partition=longest.partition if longest else 0,
            mixed=any(
                other is not strike
                and other.began < max(strike.ended, stalled)
                and strike.began < max(other.ended, its_stalled)
                for other, its_stalled, _ in found
            ),
        )
        for strike, stalled, longest in found
    ]


def _of(stretch: Stretch, strike: _Struck, last: float) -> float:
    return min(stretch.until, last) - max(stretch.since, strike.began)


def _strikes(events: Iterable[AnyEvent]) -> list[_Struck]:
    strikes: list[_Struck] = []
    for event in events:
        if isinstance(event, Struck) and not event.over:
            strikes.append(_Struck(event.trouble, event.strike, event.at))
        elif isinstance(event, Struck):
            next(one for one in reversed(strikes) if one.number == event.strike).ended = event.at
    return strikes


def longest_in_calm(events: Sequence[AnyEvent]) -> float:
    """The longest of all that begin when no strike goes on or is felt: what there is anyhow."""
    last = events[-1].at if events else 0.0
    busy = sorted((strike.began, strike.ended + _FELT) for strike in _strikes(events))
    return max(
        (
            min(stretch.until, last) - stretch.since
            for stretch in stretches(events)
            if not any(began <= min(stretch.until, last) and stretch.since <= ended for began, ended in busy)
        ),
        default=0.0,
    )


# Stretches -----------------------------------------------------------------------------------------------------------


def stretches(events: Iterable[AnyEvent]) -> list[Stretch]:
    """All of them. A message is known by what is in it: offsets begin anew when a topic does."""
    by_partition: dict[int, _Partition] = defaultdict(_Partition)
    sent: dict[int, Producing] = {}
    handed: set[str] = set()
    compacted = False
    for event in events:
        match event:
            case Began():
                compacted = bool(event.plan.get("compacted"))
            case Producing():
                sent[event.op] = event
            case Produced(outcome="ok") if event.offset is not None:
                asked = sent[event.op]
                if compacted:
                    by_partition[asked.partition].supersede(asked.key, event.offset)
                if asked.body not in handed:
                    by_partition[asked.partition].wait(event.at, asked, event.offset)
            case Pulled():
                for message in event.messages:
                    if message.body not in handed:
                        handed.add(message.body)
                        by_partition[message.partition].hand(event.at, message.body)
            case Trimmed(below=offsets) | Rewound(offsets=offsets):
                for partition, offset in offsets.items():
                    by_partition[partition].forget(event.sent, offset)
            case Remade():
                for each in by_partition.values():
                    each.forget(event.sent, None)
            case _:
                pass
    return [
        Stretch(number, since, until)
        for number, partition in sorted(by_partition.items())
        for since, until in partition.stretches()
    ]


class _Partition:
    def __init__(self) -> None:
        #: By what is in it: the offset and the key of what waits to be handed out for the first time.
        self._waiting: dict[str, tuple[int, str]] = {}
        self._done: list[tuple[float, float]] = []
        self._since = 0.0

    def wait(self, at: float, asked: Producing, offset: int) -> None:
        if not self._waiting:
            self._since = at
        self._waiting[asked.body] = offset, asked.key

    def supersede(self, key: str, offset: int) -> None:
        """Compaction may have removed what has this key and is older."""
        self._waiting = {body: one for body, one in self._waiting.items() if one[1] != key or one[0] > offset}

    def hand(self, at: float, body: str) -> None:
        """Whether or not it is known yet that it was produced."""
        if self._waiting:
            self._done.append((self._since, at))
            self._since = at
        self._waiting.pop(body, None)

    def forget(self, at: float, below: int | None) -> None:
        """What is below this offset, or all of it, will not come any more."""
        if not self._waiting:
            return
        self._waiting = {body: one for body, one in self._waiting.items() if below is not None and one[0] >= below}
        if not self._waiting:
            self._done.append((self._since, at))

    def stretches(self) -> list[tuple[float, float]]:
        return [*self._done, *([(self._since, inf)] if self._waiting else [])]
