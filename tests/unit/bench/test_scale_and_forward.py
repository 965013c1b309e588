"""What the workloads scale and forward make of a drain, and whom they ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.workloads import forward, scale
from benchmarks.workloads.drained import Drained
from benchmarks.workloads.workload import Round, Row, Workload

RUN = Drained(2000, 0.5, {"workers": 0.006, "broker": 0.003, "load": 0.001})
FORWARDED = Drained(1000, 0.5, {"owner": 0.004, "other": 0.003, "broker": 0.002, "load": 0.001})


def test_cpu_of_the_workers_is_of_a_thousand_messages_and_shares_make_up_the_whole() -> None:
    row = scale.row_of("a case", RUN)

    assert row.figures["msg/s"] == 4000.0
    assert row.figures["workers CPU s/1,000 msg"] == pytest.approx(0.003)
    shares = {name: value for name, value in row.figures.items() if name.endswith("% of all CPU")}
    assert shares == {
        "workers, % of all CPU": pytest.approx(60.0),
        "broker, % of all CPU": pytest.approx(30.0),
        "load generator, % of all CPU": pytest.approx(10.0),
    }


def test_each_worker_can_own_some_partitions() -> None:
    assert max(scale.NUMBERS) <= scale.PARTITIONS


def test_the_case_says_how_many_workers() -> None:
    assert scale.case_of("batches of 1", 1) == "batches of 1, 1 worker"
    assert scale.case_of("batches of 1", 4) == "batches of 1, 4 workers"


def test_the_owner_and_the_spare_are_told_apart_by_what_they_own() -> None:
    assert forward.owner_and_other({7001: [], 7002: [0]}) == (7002, 7001)
    with pytest.raises(ValueError):
        forward.owner_and_other({7001: [1], 7002: [0]})


def test_both_workers_count_in_a_forwarded_drain() -> None:
    figures = forward.row_of(forward.FORWARDED, "a case", FORWARDED).figures

    assert figures["msg/s"] == 2000.0
    assert figures["owner us/msg"] == pytest.approx(4.0)
    assert figures["other worker us/msg"] == pytest.approx(3.0)
    assert figures["workers us/msg"] == pytest.approx(7.0)


def test_forwarded_is_compared_with_direct_in_every_case_of_batches() -> None:
    assert [(ratio.of, ratio.to, ratio.at_least) for ratio in forward.WORKLOAD.ratios] == [
        ((forward.FORWARDED, case, "msg/s"), (forward.DIRECT, case, "msg/s"), 0.6)
        for case, load in forward.LOADS.items()
        if load.batch > 1
    ]


def test_of_several_turns_the_median_of_each_figure_counts() -> None:
    rows = [Row("s", "c", {"a": a, "b": b}) for a, b in ((1.0, 9.0), (5.0, 8.0), (3.0, 7.0))]

    assert forward.middle(rows) == Row("s", "c", {"a": 3.0, "b": 8.0})


@pytest.mark.parametrize("workload", [forward.WORKLOAD, scale.WORKLOAD])
async def test_nothing_is_started_where_no_case_is_asked_for(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(where: Path, *, quick: bool) -> None:
        raise AssertionError("started")

    monkeypatch.setattr(forward, "warm_kafka", start)
    monkeypatch.setattr(scale, "warm_kafka", start)

    assert [one async for one in workload.round(Round(tmp_path, [], quick=True, only="nothing"))] == []
