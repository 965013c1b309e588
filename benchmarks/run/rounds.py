"""Runs a workload round by round: whose turn it is, and what happens when a system fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

from benchmarks.peers.system import CACHE, CannotRun, System
from benchmarks.run.observed import Observed
from benchmarks.workloads.workload import CannotBeRun, Round, Row, Workload

_T = TypeVar("_T")


@dataclass(frozen=True)
class Measured:
    """A row, and of which round it is, counted from 1."""

    round: int
    row: Row


@dataclass(frozen=True)
class Failure:
    """What went wrong where it should not have."""

    round: int
    #: The system, or the workload where none had been started.
    system: str
    error: str


@dataclass(frozen=True)
class About:
    """What one has to know of a system to read its figures."""

    versions: Mapping[str, str]
    durability: str
    #: What a batch is there.
    batch: str


@dataclass
class Course:
    """All that the rounds came to, so far."""

    rows: list[Measured] = field(default_factory=list)
    #: By system and case, since each round says the same.
    cannot_be_run: dict[tuple[str, str], CannotBeRun] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    #: By name, of systems that have started.
    systems: dict[str, About] = field(default_factory=dict)


class Watcher(Protocol):
    """Shows how far it is."""

    def round(self, number: int, of: int) -> None: ...
    def does(self, system: str, what: str) -> None: ...
    def measured(self, row: Row, course: Course) -> None: ...
    def cannot(self, one: CannotBeRun) -> None: ...
    def failed(self, failure: Failure) -> None: ...


@dataclass(frozen=True)
class Asked:
    """What is to be run."""

    workload: Workload
    #: Makes of systems by name.
    systems: Mapping[str, Callable[[], System]]
    repeats: int
    quick: bool
    only: str = ""


def turns(some: Sequence[_T], round: int, repeats: int) -> list[_T]:
    """The order of a round, counted from 0: the beginning moves on so far that it goes once around in all rounds."""
    if not some:
        return []
    begin = round * max(1, len(some) // repeats) % len(some)
    return [*some[begin:], *some[:begin]]


async def run(asked: Asked, watcher: Watcher, scratch: Path = CACHE / "rounds") -> Course:
    """Everything, `repeats` times. What fails is in the answer; whatever happens, nothing runs on.

    Files of the systems are in `scratch` while they run: beside what bin/stack writes, so that all have the same disk.
    """
    course = Course()
    os.makedirs(scratch, exist_ok=True)
    for number in range(asked.repeats):
        watcher.round(number + 1, asked.repeats)
        makes = turns(list(asked.systems.values()), number, asked.repeats) if asked.workload.with_peers else []
        await _Round(asked, number + 1, course, watcher, scratch).run(
            [Observed(make(), watcher.does) for make in makes]
        )
    return course


class _Round:
    def __init__(self, asked: Asked, number: int, course: Course, watcher: Watcher, scratch: Path) -> None:
        self._asked = asked
        self._number = number
        self._course = course
        self._watcher = watcher
        self._scratch = scratch

    async def run(self, systems: Sequence[Observed]) -> None:
        """After a failure once more, with the systems that were not begun with."""
        while True:
            left = await self._part(systems)
            if len(left) == len(systems) or not left:
                return
            systems = left

    async def _part(self, systems: Sequence[Observed]) -> Sequence[Observed]:
        """Answers the systems that a failure left without a turn; all of them where it is of the workload itself."""
        try:
            with TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True) as where:
                await self._measure(Round(Path(where), systems, self._asked.quick, self._asked.only), systems)
        except Exception as error:
            self._blame(error, systems)
            return [one for one in systems if not one.begun]
        return []

    async def _measure(self, given: Round, systems: Sequence[Observed]) -> None:
        said = self._asked.workload.round(given)
        try:
            async for one in said:
                self._take(one, systems)
        finally:
            # A generator that was left in the middle would end when it is collected, which is too late.
            if close := getattr(said, "aclose", None):
                await close()
            for system in systems:
                await system.stop()
                if versions := system.versions():
                    about = About(versions, system.durability, system.batch_means)
                    self._course.systems[system.name] = about

    def _take(self, one: Row | CannotBeRun, systems: Sequence[Observed]) -> None:
        if not one.case.startswith(self._asked.only):
            return
        if isinstance(one, CannotBeRun):
            self._course.cannot_be_run[one.system, one.case] = one
            self._watcher.cannot(one)
        else:
            self._course.rows.append(Measured(self._number, one))
            self._watcher.measured(one, self._course)

    def _blame(self, error: Exception, systems: Sequence[Observed]) -> None:
        begun = [system.name for system in systems if system.begun]
        name = begun[-1] if begun else self._asked.workload.name
        if isinstance(error, CannotRun):
            cannot = CannotBeRun(name, "", str(error))
            self._course.cannot_be_run[name, ""] = cannot
            self._watcher.cannot(cannot)
        else:
            failure = Failure(self._number, name, f"{type(error).__name__}: {error}")
            self._course.failures.append(failure)
            self._watcher.failed(failure)
