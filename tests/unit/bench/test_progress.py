"""What is shown while bin/bench runs: lines for a file, and on a terminal also what is done at this moment."""

from __future__ import annotations

from io import StringIO

from benchmarks.run.progress import CLEAR, Progress
from benchmarks.run.rounds import Course, Failure, Measured
from benchmarks.workloads.workload import CannotBeRun, Row


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_each_figure_has_a_line_with_the_median_so_far() -> None:
    shown, course = StringIO(), Course()
    progress = Progress("drain", shown)

    for number, rate in enumerate((100.0, 300.0), 1):
        progress.round(number, 5)
        progress.does("us", "starts")
        row = Row("us", "bulk", {"msg/s": rate, "us/msg": 1.0})
        course.rows.append(Measured(number, row))
        progress.measured(row, course)
    progress.done()

    assert shown.getvalue().splitlines() == [
        "round 1 of 5: bulk: us: 100 msg/s",
        "round 2 of 5: bulk: us: 300 msg/s, median so far 200",
    ]


def test_what_cannot_be_run_and_what_failed_has_a_line() -> None:
    shown = StringIO()
    progress = Progress("drain", shown)
    progress.round(1, 1)

    progress.cannot(CannotBeRun("lame", "", "no Go"))
    progress.cannot(CannotBeRun("picky", "bulk", "too large"))
    progress.failed(Failure(1, "weak", "RuntimeError: lost one"))

    assert shown.getvalue().splitlines() == [
        "round 1 of 1: lame cannot be run: no Go",
        "round 1 of 1: picky cannot be run, bulk: too large",
        "round 1 of 1: weak FAILED: RuntimeError: lost one",
    ]


def test_a_terminal_shows_what_is_done_and_nothing_of_it_is_left() -> None:
    shown = Terminal()
    progress = Progress("drain", shown)
    progress.round(1, 5)

    progress.does("us", "starts")
    progress.done()

    assert shown.getvalue() == f"{CLEAR}drain, round 1 of 5, 0:00: us starts{CLEAR}"


def test_a_row_without_figures_does_no_harm() -> None:
    shown = StringIO()
    progress = Progress("drain", shown)
    progress.round(1, 1)

    progress.measured(Row("us", "bulk", {}), Course())

    assert shown.getvalue() == "round 1 of 1: bulk: us: no figures\n"
