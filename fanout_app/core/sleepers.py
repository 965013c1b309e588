"""Messages without a body: delayed for long, or handed out by an earlier owner and come back.

Known by their offsets alone, so that any number of them fills no budget.

One sleeps until its time, is then due, and is being read while its body is fetched again. Whoever settles it meanwhile
takes it out of here, and what is read for it then goes nowhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Sleeper(NamedTuple):
    """Why a message sleeps, and what is to become of it. Times are seconds of the monotonic clock."""

    #: The client that failed it; None if nobody has.
    failed_by: str | None
    due: float
    #: Until then, and for as long as another one can take it, who failed it does not get it again.
    barred_until: float
    #: That of who failed it.
    group: str = ""
    #: Why nobody is to have it again: it is only read to be put where such messages go. None for all others.
    given_up: str | None = None


class Sleepers:
    """The sleeping messages of one partition. As a collection it is that of their offsets."""

    def __init__(self) -> None:
        self._asleep: dict[int, Sleeper] = {}
        #: Those whose time has come, and some that were settled since.
        self._due: list[int] = []
        self._reading: set[int] = set()

    def __len__(self) -> int:
        return len(self._asleep)

    def __contains__(self, offset: object) -> bool:
        return offset in self._asleep

    def __iter__(self) -> Iterator[int]:
        return iter(self._asleep)

    def items(self) -> Iterable[tuple[int, Sleeper]]:
        return self._asleep.items()

    @property
    def due(self) -> bool:
        """Whether one wants to be read."""
        while self._due and self._due[0] not in self._asleep:
            heapq.heappop(self._due)
        return bool(self._due)

    def add(self, offset: int, sleeper: Sleeper) -> None:
        self._asleep[offset] = sleeper

    def discard(self, offset: int) -> None:
        self._asleep.pop(offset, None)
        self._reading.discard(offset)

    def wake(self, offsets: Iterable[int]) -> None:
        """Their time has come."""
        for offset in offsets:
            if offset in self._asleep:
                heapq.heappush(self._due, offset)

    def to_read(self, most: int) -> list[int]:
        """Up to so many that are due, ascending; they are being read from now on."""
        offsets: list[int] = []
        while self._due and len(offsets) < most:
            offset = heapq.heappop(self._due)
            if offset in self._asleep:
                offsets.append(offset)
        self._reading.update(offsets)
        return offsets

    def not_read(self, offsets: Iterable[int]) -> None:
        """They could not be read and are due still."""
        for offset in offsets:
            if offset in self._reading:
                self._reading.discard(offset)
                heapq.heappush(self._due, offset)

    def awake(self, offset: int) -> Sleeper | None:
        """One was read: it sleeps no more. None if it was settled meanwhile."""
        if offset not in self._reading:
            return None
        self._reading.discard(offset)
        return self._asleep.pop(offset)
