"""When a partition counts as handed out again, by when its messages came."""

from __future__ import annotations

import pytest

from benchmarks.workloads.takeover import JOINS, KILLED, Arrivals, row_of


def arrivals(**times: list[float]) -> Arrivals:
    """By "p0", "p1", ..."""
    some = Arrivals()
    for at, name in sorted((at, name) for name, came in times.items() for at in came):
        some.note(at, [int(name[1:])])
    return some


def test_what_was_on_its_way_when_a_worker_was_killed_is_not_handed_out_again() -> None:
    some = arrivals(p0=[9.5, 9.75, 10.25, 16.0, 16.25])

    assert some.pauses(10.0) == {0: (5.75, 6.0)}


def test_a_pause_begins_with_the_last_message_before_the_signal() -> None:
    assert arrivals(p0=[1.0, 9.0, 12.0, 12.1]).pauses(10.0) == {0: (3.0, 2.0)}


def test_a_longer_pause_before_the_signal_is_not_of_this_signal() -> None:
    assert arrivals(p0=[1.0, 9.75, 10.25, 10.5]).pauses(10.0) == {0: (0.5, 0.25)}


def test_each_partition_has_its_own_pause() -> None:
    some = arrivals(p0=[9.0, 11.0], p1=[9.5, 14.0])

    assert some.pauses(10.0) == {0: (2.0, 1.0), 1: (4.5, 4.0)}


def test_calm_is_when_every_partition_comes_without_a_pause() -> None:
    times = [9.0 + number / 10 for number in range(11)]

    assert arrivals(p0=times, p1=times).calm(2, now=10.0)
    assert not arrivals(p0=times).calm(2, now=10.0)  # one that never came
    assert not arrivals(p0=times, p1=times).calm(2, now=10.6)  # none comes any more
    assert not arrivals(p0=times, p1=[*times[:2], *times[8:]]).calm(2, now=10.0)  # 0.7 s without it
    assert not arrivals(p0=times, p1=times[6:]).calm(2, now=10.0)  # not for long enough yet


def test_a_row_is_over_all_pauses() -> None:
    row = row_of(KILLED, [(1.5, 1.0), (7.0, 6.5), (6.5, 6.0)])

    assert row.figures == {
        "handed out again p50 s": 6.0,
        "handed out again max s": 6.5,
        "pause p50 s": 6.5,
        "pause max s": 7.0,
    }


def test_of_a_worker_that_comes_there_are_pauses_alone() -> None:
    assert row_of(JOINS, [(0.2, 3.0), (0.4, 3.5)]).figures == {"pause p50 s": pytest.approx(0.3), "pause max s": 0.4}
