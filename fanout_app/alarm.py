"""One timer for many times: it rings at the earliest one it was set to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

#: uvloop counts in milliseconds and may ring that much early, which would find nothing due.
_RESOLUTION = 0.001


class Alarm:
    """Rings once, then has to be set again."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at = float("inf")
        self._handle: asyncio.Handle | None = None

    def at(self, when: float | None) -> None:
        """Ring at this time of the monotonic clock, unless it rings before anyway. None changes nothing."""
        if when is None or when >= self._at:
            return
        self.cancel()
        self._at = when
        self._handle = asyncio.get_running_loop().call_later(max(0.0, when - monotonic()) + _RESOLUTION, self._on_time)

    def soon(self) -> None:
        """Ring in the next turn of the loop."""
        if self._at > float("-inf"):
            self.cancel()
            self._at = float("-inf")
            self._handle = asyncio.get_running_loop().call_soon(self._on_time)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._at = float("inf")

    def _on_time(self) -> None:
        self._handle = None
        self._at = float("inf")
        self._ring()
