"""Messages delayed for long: known by their offsets alone, so that any number of them fills no budget.

One sleeps until its time, is then due, and is being read while its body is fetched again. Whoever settles it meanwhile
takes it out of here, and what is read for it then goes nowhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator


class Sleepers:
    """The sleeping messages of one partition. As a collection it is that of their offsets."""

    def __init__(self) -> None:
        #: Offset -> the client that failed it.
        self._failed_by: dict[int, str] = {}
        #: Those whose time has come, and some that were settled since.
        self._due: list[int] = []
        self._reading: set[int] = set()

    def __len__(self) -> int:
        return len(self._failed_by)

    def __contains__(self, offset: object) -> bool:
        return offset in self._failed_by

    def __iter__(self) -> Iterator[int]:
        return iter(self._failed_by)

    @property
    def due(self) -> bool:
        """Whether one wants to be read."""
        while self._due and self._due[0] not in self._failed_by:
            heapq.heappop(self._due)
        return bool(self._due)

    def add(self, offset: int, failed_by: str) -> None:
        self._failed_by[offset] = failed_by

    def discard(self, offset: int) -> None:
        self._failed_by.pop(offset, None)
        self._reading.discard(offset)

    def wake(self, offsets: Iterable[int]) -> None:
        """Their time has come."""
        for offset in offsets:
            if offset in self._failed_by:
                heapq.heappush(self._due, offset)

    def to_read(self, most: int) -> list[int]:
        """Up to so many that are due, ascending; they are being read from now on."""
        offsets: list[int] = []
        while self._due and len(offsets) < most:
            offset = heapq.heappop(self._due)
            if offset in self._failed_by and offset not in self._reading:
                offsets.append(offset)
        self._reading.update(offsets)
        return offsets

    def not_read(self, offsets: Iterable[int]) -> None:
        """They could not be read and are due still."""
        for offset in offsets:
            if offset in self._reading:
                self._reading.discard(offset)
                heapq.heappush(self._due, offset)

    def awake(self, offset: int) -> str | None:
        """One was read: it sleeps no more. Answers who failed it; None if it was settled meanwhile."""
        if offset not in self._reading:
            return None
        self._reading.discard(offset)
        return self._failed_by.pop(offset)
