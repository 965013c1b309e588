"""Ends a worker whose event loop stands still.

Nobody else would: ZooKeeper's pings come from a thread of their own and go on, so the worker keeps its lock while it
answers nobody. Kafka's heartbeats stop with the loop, and its partitions go to others after the session timeout, but a
worker without them still stands there. What holds the interpreter itself up (C code that does not let other threads
run) holds this thread up too and is not seen.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from time import monotonic
from traceback import extract_stack

#: Looks at the loop within one timeout.
_LOOKS = 20


class Stillness:
    """How long the loop has stood still, as far as that is its own fault."""

    def __init__(self, timeout: float) -> None:
        # Who looks this late was held up himself: the whole process was stopped (SIGSTOP, a machine that was put to
        # sleep), and its loop has done nothing wrong. Shorter stops count, and do not make a timeout by themselves.
        self._late = timeout / 2
        self._looked_at = float("-inf")
        self._still = 0.0

    def looked(self, now: float, *, answered: bool) -> float:
        """To be told of each look, and whether the loop has answered since the last one. Returns seconds."""
        since = now - self._looked_at
        self._looked_at = now
        self._still = 0.0 if answered or since > self._late else self._still + since
        return self._still


class Watchdog:
    """Asks the loop again and again to answer, from a thread."""

    def __init__(self, timeout: float, on_still: Callable[[str], None]) -> None:
        """``on_still`` is called once, in the thread, with what to say of a loop that stood still for the timeout."""
        self._timeout = timeout
        self._on_still = on_still
        self._stillness = Stillness(timeout)
        self._answered = True
        self._stopped = threading.Event()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """To be called in the loop's own thread, when it has begun to serve: a start may take its time."""
        threading.Thread(target=self._watch, args=(loop, threading.get_ident()), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._stopped.wait(self._timeout / _LOOKS):
            answered, self._answered = self._answered, False
            if answered:
                try:
                    loop.call_soon_threadsafe(self._answer)
                except RuntimeError:
                    return  # it was closed: the process is about to end
            still = self._stillness.looked(monotonic(), answered=answered)
            if still >= self._timeout:
                self._on_still(f"its event loop has stood still for {still:.0f} s (--stall-timeout){_place(thread)}")
                return

    def _answer(self) -> None:
        self._answered = True


def _place(thread: int) -> str:
    """Where in the code a thread stands at the moment."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    inner = extract_stack(frame)[-1]
    return f", in {inner.name} of {inner.filename}, line {inner.lineno}"
