"""What one call of bin/bench found out of one workload, as the JSON in `benchmarks/results` has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.run.rounds import About, Asked, Course, Failure, Measured
from benchmarks.run.summary import Judged, Medians, judged, medians
from benchmarks.workloads.workload import CannotBeRun


@dataclass(frozen=True)
class Circumstances:
    """When, where and of what."""

    #: Of the beginning, ISO 8601, UTC.
    date: str
    #: Of fanout; "+" where files differed from it.
    commit: str
    machine: Mapping[str, str]
    #: Processes that were running or wanted to, before the first round: what else the machine did.
    load_before: float


@dataclass(frozen=True)
class Results:
    """All of it; medians and ratios follow from the rows, and are there for who reads the file."""

    workload: str
    title: str
    circumstances: Circumstances
    repeats: int
    #: True of a run that shows that everything works, and not how fast.
    quick: bool
    #: How the names of the cases begin that were run; all where it is empty.
    only: str
    systems: Mapping[str, About]
    medians: Sequence[Medians]
    ratios: Sequence[Judged]
    not_run: Sequence[CannotBeRun]
    failures: Sequence[Failure]
    rows: Sequence[Measured]


def results_of(asked: Asked, course: Course, circumstances: Circumstances) -> Results:
    """Put together."""
    return Results(
        workload=asked.workload.name,
        title=asked.workload.title,
        circumstances=circumstances,
        repeats=asked.repeats,
        quick=asked.quick,
        only=asked.only,
        systems=course.systems,
        medians=medians(course.rows),
        ratios=judged(asked.workload.ratios, course.rows),
        not_run=list(course.cannot_be_run.values()),
        failures=course.failures,
        rows=course.rows,
    )


def write(results: Results, folder: Path) -> Path:
    """Answers the file; what was there is replaced at once, or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{results.workload}.json"
    beside = file.with_suffix(".json.new")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    return beside.replace(file)


def read(file: Path) -> Results:
    """Raises msgspec.ValidationError for what is not the results of a workload."""
    return msgspec.json.decode(file.read_bytes(), type=Results)
