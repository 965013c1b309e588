"""How deliveries to each group have ended lately: counts, and how long an ack took, over a window that moves.

What moves is a ring of slices, so a window is up to a twentieth longer than it is said to be. Everything is told by
runs of messages, not by single ones, so it costs an ack of 500 messages as much as one of one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import ceil, log

from msgspec import Struct

#: Slices of a window.
_SLICES = 20
#: Seconds where nobody has said otherwise.
LENGTH = 60.0
#: Bounds of the latencies that are told apart: the first, in seconds, and how many times as much each next one is. So
#: a quantile is at most 5 % too high, and what is below a millisecond is one.
_FIRST = 0.001
_TIMES = 1.05
_LOG_TIMES = log(_TIMES)
_DELIVERED, _ACKED, _NACKED, _EXPIRED = range(4)


class Tally(Struct, kw_only=True):
    """What was counted of one group."""

    delivered: int = 0
    acked: int = 0
    #: Rejects are among them: both say that the message could not be handled.
    nacked: int = 0
    expired: int = 0
    #: How many acks took up to the bound of this number, and longer than the one before.
    latencies: dict[int, int] = {}
    #: For how many seconds it was counted.
    seconds: float = 0.0

    @property
    def ended(self) -> int:
        """Deliveries of which it is known how they ended."""
        return self.acked + self.nacked + self.expired

    @property
    def failures(self) -> int:
        return self.nacked + self.expired

    @property
    def failure_ratio(self) -> float:
        """Of those that ended; 0 where none did."""
        return self.failures / self.ended if self.ended else 0.0

    def latency(self, share: float) -> float | None:
        """Seconds within which this share of the acks came; None where none did."""
        left = share * sum(self.latencies.values())
        for number in sorted(self.latencies):
            left -= self.latencies[number]
            if left <= 0:
                return _bound(number)
        return None

    def add(self, other: Tally) -> None:
        """What was counted at the same time elsewhere."""
        self.delivered += other.delivered
        self.acked += other.acked
        self.nacked += other.nacked
        self.expired += other.expired
        self.seconds = max(self.seconds, other.seconds)
        for number, count in other.latencies.items():
            self.latencies[number] = self.latencies.get(number, 0) + count


def together(tallies: Iterable[Tally]) -> Tally:
    """The sum of what was counted at several places."""
    total = Tally(latencies={})
    for tally in tallies:
        total.add(tally)
    return total


class AckTimes:
    """How long acks of one group took since this worker began."""

    __slots__ = ("latencies", "seconds")

    def __init__(self) -> None:
        #: See `Tally.latencies`.
        self.latencies: dict[int, int] = {}
        self.seconds = 0.0

    def add(self, latencies: Mapping[int, int]) -> None:
        for number, count in latencies.items():
            self.latencies[number] = self.latencies.get(number, 0) + count

    def within(self, bounds: Sequence[float]) -> list[int]:
        """How many took up to each of these ascending seconds, and at last how many there were.

        One so near below a bound that it is not told apart from those above it counts as above.
        """
        counts = [0] * (len(bounds) + 1)
        for number, count in self.latencies.items():
            counts[bisect_left(bounds, _bound(number))] += count
        return list(accumulate(counts))


def _bound(number: int) -> float:
    return float(_FIRST * _TIMES**number)


class _Window:
    def __init__(self, length: float, total: list[int], times: AckTimes, now: float) -> None:
        self.length = length
        #: See `Windows.totals`.
        self.total = total
        #: The latencies of acks that are in no slice any more, and the seconds of all.
        self.times = times
        self._slice = length / _SLICES
        self._since = now
        self._slices: deque[tuple[int, Tally]] = deque()
        #: The last slice, and when it ends: what happens until then needs no look at the others.
        self._current = Tally(latencies={})
        self._ends = 0.0

    def at(self, now: float) -> Tally:
        """Where to count what happens now."""
        # What comes with a time from before the last slice, after something that took a while, is counted in that.
        if now >= self._ends:
            number = int(now / self._slice)
            self._current = Tally(latencies={})
            self._slices.append((number, self._current))
            self._ends = (number + 1) * self._slice
            self._drop(number)
        return self._current

    def _drop(self, number: int) -> None:
        while self._slices and self._slices[0][0] < number - _SLICES:
            self.times.add(self._slices.popleft()[1].latencies)

    def end(self) -> None:
        """Nothing of it matters any more but what is known of all time."""
        while self._slices:
            self.times.add(self._slices.popleft()[1].latencies)

    def all_times(self) -> AckTimes:
        times = AckTimes()
        times.seconds = self.times.seconds
        for latencies in (self.times.latencies, *(tally.latencies for _, tally in self._slices)):
            times.add(latencies)
        return times

    def tally(self, now: float) -> Tally:
        self._drop(int(now / self._slice))
        total = together(tally for _, tally in self._slices)
        total.seconds = min(self.length, max(0.0, now - self._since))
        return total


class Windows:
    """Those of all groups at one worker. Times are seconds of its monotonic clock."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._lengths: Mapping[str, float] = {}
        #: By group: delivered, acked, nacked and expired since this worker began.
        self.totals: dict[str, list[int]] = {}
        #: By group, of what is in no window any more.
        self._times: dict[str, AckTimes] = {}

    def go_on_from(self, before: Windows) -> None:
        """Nothing was counted here yet: what is counted of all time goes on from there."""
        self.totals.update(before.totals)
        self._times.update((group, before.ack_times(group)) for group in before.totals)

    def ack_times(self, group: str) -> AckTimes:
        """Since this worker began."""
        window = self._windows.get(group)
        return window.all_times() if window is not None else self._times.get(group) or AckTimes()

    def use(self, lengths: Mapping[str, float], begin: Iterable[str], now: float) -> None:
        """The windows are so long, in seconds, and of some groups what was counted before does not matter any more."""
        self._lengths = lengths
        for group in [*begin, *(name for name, one in self._windows.items() if one.length != self._length(name))]:
            if group in self._windows:
                self._begin(group, now)

    def _length(self, group: str) -> float:
        return self._lengths.get(group, LENGTH)

    def _begin(self, group: str, now: float) -> _Window:
        total = self.totals.setdefault(group, [0, 0, 0, 0])
        times = self._times.setdefault(group, AckTimes())
        if (before := self._windows.get(group)) is not None:
            before.end()
        window = self._windows[group] = _Window(self._length(group), total, times, now)
        return window

    def delivered(self, group: str, count: int, now: float) -> None:
        """Below zero: so many of them did not reach anybody."""
        window = self._windows.get(group) or self._begin(group, now)
        window.at(now).delivered += count
        window.total[_DELIVERED] += count

    def acked(self, group: str, seconds: float, count: int, now: float) -> None:
        """So many acks, each so long after the delivery."""
        window = self._windows.get(group) or self._begin(group, now)
        tally = window.at(now)
        tally.acked += count
        window.total[_ACKED] += count
        number = ceil(log(seconds / _FIRST) / _LOG_TIMES) if seconds > _FIRST else 0
        window.times.seconds += seconds * count
        latencies = tally.latencies
        latencies[number] = latencies.get(number, 0) + count

    def nacked(self, group: str, count: int, now: float) -> None:
        window = self._windows.get(group) or self._begin(group, now)
        window.at(now).nacked += count
        window.total[_NACKED] += count

    def expired(self, group: str, count: int, now: float) -> None:
        window = self._windows.get(group) or self._begin(group, now)
        window.at(now).expired += count
        window.total[_EXPIRED] += count

    def tallies(self, now: float) -> dict[str, Tally]:
        """What the windows hold, of all groups of which anything was ever counted."""
        return {group: window.tally(now) for group, window in self._windows.items()}
