"""Shows on stderr how far bin/bench is: a line for each figure, and on a terminal what is done at this moment."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from benchmarks.run.rounds import Course, Failure
from benchmarks.run.summary import medians
from benchmarks.run.table import figure
from benchmarks.workloads.workload import CannotBeRun, Row

#: Back to the begin of the line, and nothing in it.
CLEAR = "\r\033[K"


class Progress:
    """A `rounds.Watcher`."""

    def __init__(self, workload: str, to: TextIO = sys.stderr) -> None:
        self._workload = workload
        self._to = to
        self._round = ""
        self._began = time.monotonic()

    def round(self, number: int, of: int) -> None:
        self._round = f"round {number} of {of}"

    def does(self, system: str, what: str) -> None:
        if self._to.isatty():
            minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
            self._write(f"{CLEAR}{self._workload}, {self._round}, {minutes}:{seconds:02}: {system} {what}")

    def measured(self, row: Row, course: Course) -> None:
        if not row.figures:
            self._line(f"{self._round}: {row.case}: {row.system}: no figures")
            return
        name, value = next(iter(row.figures.items()))
        line = f"{self._round}: {row.case}: {row.system}: {figure(value)} {name}"
        so_far = next(
            (
                one.figures[name]
                for one in medians(course.rows)
                if (one.system, one.case) == (row.system, row.case) and name in one.figures
            ),
            None,
        )
        self._line(line + (f", median so far {figure(so_far.median)}" if so_far and so_far.rounds > 1 else ""))

    def cannot(self, one: CannotBeRun) -> None:
        self._line(f"{self._round}: {one.system} cannot be run{f', {one.case}' if one.case else ''}: {one.reason}")

    def failed(self, failure: Failure) -> None:
        self._line(f"{self._round}: {failure.system} FAILED: {failure.error}")

    def done(self) -> None:
        """What a terminal shows of this moment is taken away."""
        if self._to.isatty():
            self._write(CLEAR)

    def _line(self, text: str) -> None:
        self._write((CLEAR if self._to.isatty() else "") + text + "\n")

    def _write(self, text: str) -> None:
        self._to.write(text)
        self._to.flush()
