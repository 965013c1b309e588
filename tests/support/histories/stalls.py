"""For how long each strike kept messages from clients. Pure.

What is measured: of one partition, a stretch in which messages that nobody had been handed yet were there all the time,
and none of them was handed out for the first time. It begins when the first of them was acknowledged to its producer or
when another one was handed out, whichever is later, and ends with the next first delivery. The stall of a strike is the
longest of these stretches, over all partitions, of what lies behind the beginning of the strike, if it begins before
`_FELT` seconds after the strike is over and before the next strike. That clients ask all the time is for the plan to
see to: a history's fast clients do.

What the producer could not write does not wait in this sense: what brokers kept from being written is in the second
figure, end to end, for which a message waits from when its producer was asked to send it.
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
    #: The same where a message waits from when its producer was asked to send it.
    end_to_end: float
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
    delivery = _Felt(stretches(events), last)
    end_to_end = _Felt(stretches(events, end_to_end=True), last)
    found = []
    for strike in strikes:
        until = min([strike.ended + _FELT, *(other.began for other in strikes if other.began > strike.ended)])
        found.append((strike, delivery.longest(strike, until), end_to_end.longest(strike, until)))
    # As long as any stall of it goes on a strike is felt.
    felt = [max([strike.ended, *(one.until for one in longest if one)]) for strike, *longest in found]
    return [
        Stall(
            trouble=strike.trouble,
            strike=strike.number,
            lasted=round(min(strike.ended, last) - strike.began, 3),
            seconds=delivery.seconds(strike, longest),
            end_to_end=end_to_end.seconds(strike, longest_of_all),
            partition=longest.partition if longest else 0,
            mixed=any(
                other is not strike and other.began < felt[n] and strike.began < felt[m]
                for m, (other, _, _) in enumerate(found)
            ),
        )
        for n, (strike, longest, longest_of_all) in enumerate(found)
    ]


class _Felt:
    """The stretches of a history, by which of them a strike may have caused."""

    def __init__(self, found: Iterable[Stretch], last: float) -> None:
        self._stretches = sorted(found, key=lambda stretch: stretch.until)
        self._ends = [stretch.until for stretch in self._stretches]
        self._last = last

    def longest(self, strike: _Struck, until: float) -> Stretch | None:
        """Of those that began before then and had not ended when the strike began."""
        later = self._stretches[bisect_left(self._ends, strike.began) :]
        felt = [stretch for stretch in later if stretch.since < until]
        return max(felt, key=lambda stretch: self.seconds(strike, stretch), default=None)

    def seconds(self, strike: _Struck, stretch: Stretch | None) -> float:
        """What of it lies behind the beginning of the strike."""
        if stretch is None:
            return 0.0
        return round(min(stretch.until, self._last) - max(stretch.since, strike.began), 3)


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


def stretches(events: Sequence[AnyEvent], *, end_to_end: bool = False) -> list[Stretch]:
    """All of them. A message is known by what is in it: offsets begin anew when a topic does."""
    ends = {event.op: event for event in events if isinstance(event, Produced)} if end_to_end else {}
    by_partition: dict[int, _Partition] = defaultdict(_Partition)
    sent: dict[int, Producing] = {}
    handed: set[str] = set()
    compacted = False

    def wait(at: float, asked: Producing, end: Produced) -> None:
        if end.outcome != "ok" or end.offset is None:
            return
        if compacted:
            by_partition[asked.partition].supersede(asked.key, end.offset)
        if asked.body not in handed:
            by_partition[asked.partition].wait(at, asked, end.offset)

    for event in events:
        match event:
            case Began():
                compacted = bool(event.plan.get("compacted"))
            case Producing():
                sent[event.op] = event
                if event.op in ends:
                    wait(event.at, event, ends[event.op])
            case Produced() if not end_to_end:
                wait(event.at, sent[event.op], event)
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
        self._waiting: dict[str, tuple[int, str | None]] = {}
        self._done: list[tuple[float, float]] = []
        self._since = 0.0

    def wait(self, at: float, asked: Producing, offset: int) -> None:
        if not self._waiting:
            self._since = at
        self._waiting[asked.body] = offset, asked.key

    def supersede(self, key: str | None, offset: int) -> None:
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
