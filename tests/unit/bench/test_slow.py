"""What the workload slow makes of what its clients say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.system import CannotRun
from benchmarks.workloads import slow
from benchmarks.workloads.slow import BATCHES, OF_IDEAL, WORKLOAD, case_of, row_of
from benchmarks.workloads.workload import CannotBeRun, Round

SAID = {
    "clients": 200,
    "messages": 98_000,
    "rate": 19_000.0,
    "ideal": 20_000.0,
    "pull": {"p50": 3.0, "p99": 9.0, "p999": 12.0},
    "cpu": {"server": 2.5, "broker": 0.95, "load": 1.9},
    "seconds": 5.0,
}


def test_the_rate_is_said_in_percent_of_what_clients_could_do() -> None:
    row = row_of(10, SAID)

    assert row.case == "10 ms a message, 200 clients, batches of 10"
    assert row.figures[OF_IDEAL] == pytest.approx(95.0)
    assert row.figures["msg/s"] == 19_000.0
    assert (row.figures["pull p50 ms"], row.figures["pull p99 ms"]) == (3.0, 9.0)


def test_cpu_is_of_the_messages_of_the_seconds_in_which_it_was_used() -> None:
    figures = row_of(10, SAID).figures

    assert figures["server, % of a core"] == pytest.approx(50.0)
    assert figures["server us/msg"] == pytest.approx(2.5 / 95_000 * 1e6)
    assert figures["broker us/msg"] == pytest.approx(10.0)
    assert figures["clients us/msg"] == pytest.approx(20.0)


def test_every_ratio_is_of_what_is_measured() -> None:
    for ratio in WORKLOAD.ratios:
        assert ratio.of[:2] in {("fanout", case_of(batch)) for batch in BATCHES}, ratio.text
        assert ratio.of[2] in row_of(1, SAID).figures, ratio.text


def test_the_ideal_is_that_of_the_load_generator() -> None:
    assert slow.IDEAL == 20_000.0


async def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_go() -> Path:
        raise CannotRun("no go found")

    monkeypatch.setattr(slow, "load_generator", no_go)

    said = [one async for one in WORKLOAD.round(Round(tmp_path, (), quick=True))]

    assert said == [CannotBeRun("fanout", "", "no go found")]
