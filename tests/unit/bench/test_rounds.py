"""Whose turn it is, and what happens to the others when one fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.peers.system import CannotRun
from benchmarks.run.rounds import Asked, Course, run, turns
from benchmarks.workloads.workload import CannotBeRun, Round, Row
from unit.bench.fakes import FakeSystem, FakeWorkload, Silent


def asked(workload: FakeWorkload, *systems: FakeSystem, repeats: int = 1, only: str = "") -> Asked:
    """The same objects each round, so that a test can look at them."""
    makes = {system.name: (lambda system=system: system) for system in systems}
    return Asked(workload, makes, repeats, quick=False, only=only)


def systems(*names: str) -> tuple[list[str], list[FakeSystem]]:
    log: list[str] = []
    return log, [FakeSystem(name, log) for name in names]


def measured(course: Course) -> list[tuple[int, str]]:
    return [(one.round, one.row.system) for one in course.rows]


@pytest.mark.parametrize(
    ("count", "repeats", "begins"),
    [(3, 3, [0, 1, 2]), (10, 5, [0, 2, 4, 6, 8]), (2, 5, [0, 1, 0, 1, 0]), (1, 2, [0, 0])],
)
def test_each_round_begins_with_another_system(count: int, repeats: int, begins: list[int]) -> None:
    orders = [turns(range(count), round, repeats) for round in range(repeats)]

    assert [order[0] for order in orders] == begins
    assert all(sorted(order) == list(range(count)) for order in orders)


def test_of_no_systems_there_is_no_order() -> None:
    assert turns([], 3, 5) == []


async def test_every_round_has_every_system(tmp_path: Path) -> None:
    log, some = systems("a", "b")

    course = await run(asked(FakeWorkload(), *some, repeats=2), Silent(), tmp_path)

    assert measured(course) == [(1, "a"), (1, "b"), (2, "b"), (2, "a")]
    assert sorted(log) == sorted(["a start", "a stop", "b start", "b stop"] * 2)
    assert course.systems["a"].versions == {"a": "1"}
    assert not course.failures
    assert os.listdir(tmp_path) == []


async def test_what_fails_is_named_and_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    log, some = systems("a", "b", "c")
    some[1].faults["start"] = RuntimeError("out of order")

    course = await run(asked(FakeWorkload(), *some), Silent(), tmp_path)

    assert measured(course) == [(1, "a"), (1, "c")]
    assert [(one.system, one.error) for one in course.failures] == [("b", "RuntimeError: out of order")]
    assert log.index("b stop") < log.index("c start")


async def test_what_fails_in_one_round_has_another_turn_in_the_next(tmp_path: Path) -> None:
    _, some = systems("a", "b")
    some[0].faults["start"] = RuntimeError("out of order")

    course = await run(asked(FakeWorkload(), *some, repeats=3), Silent(), tmp_path)

    assert [one.round for one in course.failures] == [1, 2, 3]
    assert measured(course) == [(1, "b"), (2, "b"), (3, "b")]


async def test_a_system_that_cannot_stop_is_a_failure(tmp_path: Path) -> None:
    _, some = systems("a")
    some[0].faults["stop"] = OSError("it clings")

    course = await run(asked(FakeWorkload(), *some), Silent(), tmp_path)

    assert [(one.system, one.error) for one in course.failures] == [("a", "OSError: it clings")]


async def test_who_cannot_be_run_is_no_failure_and_is_said_once(tmp_path: Path) -> None:
    _, some = systems("a", "b")
    some[0].faults["start"] = CannotRun("no such program")

    course = await run(asked(FakeWorkload(), *some, repeats=2), Silent(), tmp_path)

    assert list(course.cannot_be_run.values()) == [CannotBeRun("a", "", "no such program")]
    assert not course.failures
    assert measured(course) == [(1, "b"), (2, "b")]


async def test_a_workload_that_fails_by_itself_is_named_and_not_tried_again_in_the_round(tmp_path: Path) -> None:
    class Broken(FakeWorkload):
        async def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
            self.rounds.append(given)
            raise ValueError("not even begun")
            yield

    log, some = systems("a")
    workload = Broken()

    course = await run(asked(workload, *some, repeats=2), Silent(), tmp_path)

    assert [(one.round, one.system) for one in course.failures] == [(1, "fake"), (2, "fake")]
    assert log == []
    assert len(workload.rounds) == 2


async def test_a_workload_without_peers_gets_none(tmp_path: Path) -> None:
    log, some = systems("a")
    workload = FakeWorkload(with_peers=False)

    await run(asked(workload, *some), Silent(), tmp_path)

    assert [given.systems for given in workload.rounds] == [[]]
    assert log == []


async def test_rows_of_other_cases_are_thrown_away(tmp_path: Path) -> None:
    _, some = systems("a")
    workload = FakeWorkload(
        lambda name: [Row(name, "small", {}), Row(name, "large", {}), CannotBeRun(name, "lazy", "")]
    )

    course = await run(asked(workload, *some, only="la"), Silent(), tmp_path)

    assert [one.row.case for one in course.rows] == ["large"]
    assert [case for _, case in course.cannot_be_run] == ["lazy"]
    assert workload.rounds[0].wants("lantern")
    assert not workload.rounds[0].wants("small")


async def test_whoever_is_told_to_end_stops_what_runs(tmp_path: Path) -> None:
    class Endless(FakeSystem):
        async def start(self, where: Path) -> None:
            await super().start(where)
            started.set()
            await asyncio.Event().wait()

    started = asyncio.Event()
    log: list[str] = []
    running = asyncio.ensure_future(run(asked(FakeWorkload(), Endless("a", log)), Silent(), tmp_path))
    await started.wait()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert log == ["a start", "a stop"]
    assert os.listdir(tmp_path) == []
