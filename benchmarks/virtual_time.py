"""Time that passes only while nobody has anything to do: the code of a worker runs in it as it is, and repeatably."""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")


class _NoWaiting(selectors.SelectSelector):
    """There is nothing outside to wait for: what would be waiting is a step of the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again, and somebody waits for it")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, in seconds from 0."""

    def __init__(self) -> None:
        self._no_waiting = _NoWaiting()
        super().__init__(self._no_waiting)

    def time(self) -> float:
        return self._no_waiting.now


@contextmanager
def _told_by(loop: VirtualLoop) -> Iterator[None]:
    """All that asks for the monotonic clock is told the loop's time."""
    with ExitStack() as patches:
        for name, module in list(sys.modules.items()):
            if name.startswith(("fanout_app.", "benchmarks.")) and hasattr(module, "monotonic"):
                patches.enter_context(patch.object(module, "monotonic", loop.time))
        yield


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run something in virtual time."""
    loop = VirtualLoop()
    try:
        with _told_by(loop):
            return loop.run_until_complete(work)
    finally:
        loop.close()
