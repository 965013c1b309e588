"""What clients in Python count, with and without a warm-up."""

from __future__ import annotations

import os
import time

import pytest

from benchmarks.peers.arrivals import Arrivals, Moment, Report, merged
from benchmarks.peers.system import label, stamp_of, stamped

OWN = f"server={os.getpid()}"


def test_all_count_where_nothing_is_said() -> None:
    arrivals = Arrivals(OWN)
    assert arrivals.got([label(0, 8), label(1, 8)])
    arrivals.acked()
    report = arrivals.report()

    assert report
    assert list(report.numbers) == [0, 1]
    assert list(report.hand_outs) == []
    assert report.first.at <= report.last.at


def test_the_clock_begins_with_the_first_message_after_the_warm_up() -> None:
    arrivals = Arrivals(OWN, uncounted=2, stamped=True)
    produced = time.time_ns() - 250_000_000
    assert not arrivals.got([stamped(0, produced, 16), stamped(1, produced, 16)])
    warmed_up = time.monotonic()
    assert arrivals.got([stamped(1, produced, 16), stamped(2, produced, 16)])
    arrivals.acked()
    report = arrivals.report()

    assert report
    assert report.first.at >= warmed_up
    assert list(report.numbers) == [0, 1, 1, 2]
    [hand_out] = report.hand_outs
    assert 0.25 <= hand_out < 10


def test_a_process_that_had_nothing_has_nothing_to_report() -> None:
    assert Arrivals(OWN).report() is None


def test_nothing_but_warm_up_is_an_error_and_no_report() -> None:
    arrivals = Arrivals(OWN, uncounted=2)
    arrivals.got([label(0, 8)])
    arrivals.acked()

    with pytest.raises(RuntimeError, match="warm-up"):
        arrivals.report()


def report_of(numbers: list[int], first: float, last: float) -> Report:
    cpu = {"load": first, "server": first}
    return Report(0.0, Moment(first, cpu), Moment(last, {"load": last, "server": last}), numbers, [0.1], [0.2], [0.3])


def test_reports_come_together_without_the_warm_up() -> None:
    run = merged([report_of([0, 1, 4], 10.0, 13.0), report_of([2, 3], 11.0, 14.0)], 5, began=8.0, uncounted=2)

    assert (run.messages, run.duplicates) == (3, 0)
    assert (run.seconds, run.until_first) == (4.0, 2.0)
    assert run.cpu.server == 4.0
    assert run.latencies["hand-out"].p50 == pytest.approx(300.0)


def test_a_lost_message_of_the_warm_up_is_an_error_too() -> None:
    with pytest.raises(RuntimeError, match="4 of 5 messages came"):
        merged([report_of([1, 2, 3, 4], 10.0, 13.0)], 5, began=8.0, uncounted=2)


def test_a_stamp_is_read_as_it_was_written() -> None:
    assert stamp_of(stamped(7, 1_795_887_698_515_119_662, 100)) == 1_795_887_698_515_119_662
