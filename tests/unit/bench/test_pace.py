"""When messages of a paced run are due."""

from __future__ import annotations

import pytest

from benchmarks.peers.pace import due_in_turn
from benchmarks.peers.system import Paced, number_of, stamped


class Clock:
    """Time passes in its sleeps only, each of them `over` seconds too long."""

    def __init__(self, over: float = 0.0) -> None:
        self.now = 100.0
        self._over = over

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + self._over


def test_messages_are_due_at_even_distances() -> None:
    clock = Clock()
    due = [(number, late, clock.now) for number, late in due_in_turn(500, 4, clock.time, clock.sleep)]
    assert [number for number, _, _ in due] == [0, 1, 2, 3]
    assert [at for _, _, at in due] == pytest.approx([100.0, 100.002, 100.004, 100.006])
    assert [late for _, late, _ in due] == pytest.approx([0.0] * 4)


def test_sleeps_that_are_too_long_do_not_add_up() -> None:
    clock = Clock(over=0.0005)
    late = [late for _, late in due_in_turn(500, 1000, clock.time, clock.sleep)]
    assert clock.now == pytest.approx(100.0 + 999 / 500 + 0.0005)
    assert max(late) == pytest.approx(0.0005)


def test_after_a_stall_what_is_due_comes_at_once_and_says_how_late_it_is() -> None:
    clock = Clock()
    at: list[float] = []
    lates: list[float] = []
    for number, late in due_in_turn(100, 6, clock.time, clock.sleep):
        at.append(clock.now)
        lates.append(late)
        if number == 1:
            clock.now += 0.025
    assert at == pytest.approx([100.0, 100.01, 100.035, 100.035, 100.04, 100.05])
    assert lates == pytest.approx([0.0, 0.0, 0.015, 0.005, 0.0, 0.0])


def test_a_sleep_that_ends_early_is_followed_by_another() -> None:
    clock = Clock()
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        clock.sleep(min(seconds, 0.004))

    assert [late for _, late in due_in_turn(100, 2, clock.time, nap)] == pytest.approx([0.0, 0.0])
    assert naps == pytest.approx([0.01, 0.006, 0.002])


def test_the_warm_up_is_in_front_of_what_counts() -> None:
    paced = Paced(rate=500, seconds=3, warm_up=1)
    assert (paced.uncounted, paced.messages) == (500, 2000)


def test_a_message_says_its_number_and_when_it_was_stamped() -> None:
    value = stamped(7, 1_795_887_698_515_119_662, 100)
    assert len(value) == 100
    assert number_of(value) == 7
    assert int.from_bytes(value[8:16], "big") == 1_795_887_698_515_119_662
