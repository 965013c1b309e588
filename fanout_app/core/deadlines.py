"""What is to be done at which time, earliest first; the time itself is somebody else's."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Fire = Callable[[float], None]


class Alarm:
    """Something to be done once, told the time at which it is. Lets go of it when that was done or is off."""

    __slots__ = ("_fire",)

    def __init__(self, fire: Fire | None = None) -> None:
        self._fire = fire

    @property
    def set(self) -> bool:
        return self._fire is not None

    def cancel(self) -> None:
        self._fire = None

    def ring(self, now: float) -> None:
        fire, self._fire = self._fire, None
        if fire is not None:
            fire(now)


class Deadlines:
    """Alarms by their time.

    Most leases are acked long before they end, so alarms that are off would outnumber the others by far. They are
    dropped when their time comes up, and all of them whenever the heap has doubled, which keeps it within twice what
    was set then at a constant cost for each.
    """

    _SMALL = 1024

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._sequence = 0
        self._full = self._SMALL

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, at: float, fire: Fire) -> Alarm:
        if len(self._heap) >= self._full:
            self._heap = [entry for entry in self._heap if entry[2].set]
            heapq.heapify(self._heap)
            self._full = max(self._SMALL, 2 * len(self._heap))
        self._sequence += 1
        alarm = Alarm(fire)
        heapq.heappush(self._heap, (at, self._sequence, alarm))
        return alarm

    def next(self) -> float | None:
        while self._heap and not self._heap[0][2].set:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def ring(self, now: float) -> None:
        """Do all that is due, and what becomes due by it."""
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2].ring(now)
