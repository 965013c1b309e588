"""What the workload idle makes of what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.system import CannotRun, Cpu, Percentiles, Run
from benchmarks.workloads import idle
from benchmarks.workloads.idle import CORE, CORE_BEFORE, FIRST, KB, WAITING, WORKLOAD, Idling, new_cluster_row, row_of
from benchmarks.workloads.workload import CannotBeRun, Round


def run_of(hand_out: Percentiles) -> Run:
    latencies = {"hand-out": hand_out, "produced": Percentiles(1.0, 2.0, 3.0)}
    return Run(200, 0, 2.0, 0.5, Cpu(0.1, 0.2, 0.3), latencies)


ROW = row_of(
    1_000,
    Idling(rss=90_000_000, share=0.005),
    Idling(rss=105_000_000, share=0.02),
    run_of(Percentiles(2.5, 9.0, 10.0)),
    run_of(Percentiles(200.0, 400.0, 410.0)),
)


def test_a_pull_costs_what_the_worker_has_grown_by() -> None:
    assert ROW.case == "1,000 waiting pulls"
    assert ROW.figures[KB] == pytest.approx(15.0)
    assert ROW.figures[CORE] == pytest.approx(2.0)
    assert ROW.figures[CORE_BEFORE] == pytest.approx(0.5)


def test_wake_ups_one_by_one_and_all_at_once_stand_apart() -> None:
    figures = ROW.figures

    assert (figures["wake-up p50 ms"], figures["wake-up p99 ms"]) == (2.5, 9.0)
    assert (figures["all at once p50 ms"], figures["all at once p99 ms"]) == (200.0, 400.0)


def test_of_new_clusters_the_slowest_one_counts() -> None:
    row = new_cluster_row([(2.0, 0.3), (1.0, 0.1), (3.0, 0.2)])

    assert row.figures == {FIRST: 0.3, "s to the first message, p50": 0.2, "s to be ready, p50": 2.0}


def test_every_ratio_is_of_what_is_measured() -> None:
    new = new_cluster_row([(1.0, 1.0)])
    measured = {("fanout", idle.case_of(pulls), name) for pulls in WAITING for name in ROW.figures}
    measured |= {("fanout", new.case, name) for name in new.figures}

    assert {ratio.of for ratio in WORKLOAD.ratios} <= measured


async def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_go() -> Path:
        raise CannotRun("no go found")

    monkeypatch.setattr(idle, "load_generator", no_go)

    said = [one async for one in WORKLOAD.round(Round(tmp_path, (), quick=True))]

    assert said == [CannotBeRun("fanout", "", "no go found")]
