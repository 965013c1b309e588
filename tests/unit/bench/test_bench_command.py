"""bin/bench from its arguments to its exit code, with a workload and systems that need no servers."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path

import pytest

from benchmarks import bench
from benchmarks.peers.system import CannotRun
from benchmarks.run.results import read
from benchmarks.workloads.workload import Ratio
from unit.bench.fakes import FakeSystem, FakeWorkload

MISSED = Ratio("rate", ("a", "a case", "msg/s"), 2.0, at_least=1.0)


@pytest.fixture
def system() -> FakeSystem:
    return FakeSystem("a", [])


@pytest.fixture
def given(tmp_path: Path, system: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """Two rounds of one workload with this system."""
    monkeypatch.setattr(bench, "workloads", lambda: {"fake": FakeWorkload(ratios=[MISSED])})
    return argparse.Namespace(
        workload=["fake"], systems={"a": lambda: system}, repeats=2, quick=True, only="", peers=None, results=tmp_path
    )


async def test_a_ratio_that_is_missed_is_a_result_and_no_failure(
    given: argparse.Namespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await bench.bench(given) == 0

    results = read(tmp_path / "fake.json")
    assert [one.kept for one in results.ratios] == [False]
    assert len(results.rows) == 2
    assert "MISSED" in capsys.readouterr().out


async def test_a_system_that_fails_is_in_the_results_and_in_the_exit_code(
    given: argparse.Namespace, system: FakeSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system.faults["start"] = RuntimeError("out of order")

    assert await bench.bench(given) == 1

    assert [one.system for one in read(tmp_path / "fake.json").failures] == ["a", "a"]
    assert "RuntimeError: out of order" in capsys.readouterr().out


async def test_a_system_that_cannot_be_run_is_in_the_results_only(
    given: argparse.Namespace, system: FakeSystem, tmp_path: Path
) -> None:
    system.faults["start"] = CannotRun("no such program")

    assert await bench.bench(given) == 0

    assert [one.reason for one in read(tmp_path / "fake.json").not_run] == ["no such program"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_what_runs_and_leaves_no_results(
    given: argparse.Namespace, tmp_path: Path, number: signal.Signals
) -> None:
    class Endless(FakeSystem):
        async def start(self, where: Path) -> None:
            await super().start(where)
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()

    log: list[str] = []
    given.systems = {"a": lambda: Endless("a", log)}

    assert await bench.until_told(given) == 128 + number

    assert log == ["a start", "a stop"]
    assert os.listdir(tmp_path) == []
