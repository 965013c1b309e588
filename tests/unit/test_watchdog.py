"""When a loop counts as standing still, and that somebody is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from fanout_app.watchdog import Stillness, Watchdog
from support.eventually import eventually

TIMEOUT = 10.0
LONG = 20.0


def looks(stillness: Stillness, start: float, *steps: tuple[float, bool]) -> float:
    """Look after each of these seconds, and answer how long the loop has stood still at the last look."""
    now, still = start, 0.0
    for seconds, answered in steps:
        now += seconds
        still = stillness.looked(now, answered=answered)
    return still


def test_what_does_not_answer_stands_still_until_it_answers() -> None:
    stillness = Stillness(TIMEOUT)
    stillness.looked(100.0, answered=True)
    assert looks(stillness, 100.0, *[(0.5, False)] * 19) == 9.5
    assert looks(stillness, 109.5, (0.5, False)) == 10.0
    assert looks(stillness, 110.0, (0.5, True)) == 0.0
    assert looks(stillness, 110.5, (0.5, False)) == 0.5


def test_the_first_look_finds_nothing() -> None:
    assert Stillness(TIMEOUT).looked(100.0, answered=False) == 0.0


def test_a_process_that_was_stopped_as_a_whole_has_not_stood_still() -> None:
    stillness = Stillness(TIMEOUT)
    stillness.looked(0.0, answered=True)
    assert looks(stillness, 0.0, *[(0.5, False)] * 10, (60.0, False)) == 0.0
    assert looks(stillness, 65.0, *[(0.5, False)] * 20) == 10.0, "a loop that hangs on after that is found all the same"


def test_a_busy_machine_makes_looks_late_and_does_not_hide_a_loop_that_hangs() -> None:
    stillness = Stillness(TIMEOUT)
    stillness.looked(0.0, answered=True)
    assert looks(stillness, 0.0, *[(4.0, False)] * 3) == 12.0


class Loop:
    """One that answers as long as it is told to."""

    def __init__(self) -> None:
        self.answers = True
        self.closed = False
        self.asked = 0

    def call_soon_threadsafe(self, call: Callable[[], None]) -> None:
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self.asked += 1
        if self.answers:
            call()


def watchdogs() -> int:
    return sum(thread.name == "watchdog" for thread in threading.enumerate())


async def test_a_loop_that_hangs_is_told_of_once_with_its_place() -> None:
    told: list[str] = []
    loop = Loop()
    watchdog = Watchdog(0.2, told.append)
    watchdog.start(loop)  # type: ignore[arg-type]
    await eventually(lambda: loop.asked > 20, LONG)
    assert told == []
    loop.answers = False
    await eventually(lambda: told, LONG)
    await eventually(lambda: watchdogs() == 0, LONG)
    assert len(told) == 1
    assert "stood still" in told[0]
    assert "--stall-timeout" in told[0]
    assert ", in " in told[0]


async def test_it_ends_with_its_loop_or_when_it_is_stopped() -> None:
    told: list[str] = []
    loop = Loop()
    Watchdog(0.2, told.append).start(loop)  # type: ignore[arg-type]
    stopped = Watchdog(0.2, told.append)
    stopped.start(asyncio.get_running_loop())
    assert watchdogs() == 2
    loop.closed = True
    stopped.stop()
    await eventually(lambda: watchdogs() == 0, LONG)
    assert told == []
