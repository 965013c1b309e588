"""The workload paced, through systems that only write down what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.every import SYSTEMS as EVERY
from benchmarks.peers.system import CannotRun, Cpu, Paced, Percentiles, Run
from benchmarks.workloads.paced import QUICK_SECONDS, RATES, SECONDS, SLOW, SYSTEMS, WORKLOAD, case_of, row_of
from benchmarks.workloads.workload import CannotBeRun, Round, Row
from unit.bench.fakes import FakeSystem

RUN = Run(
    messages=1000,
    duplicates=1,
    seconds=2.0,
    until_first=0.25,
    cpu=Cpu(server=None, broker=0.4, clients=0.2),
    latencies={
        "pull": Percentiles(1.0, 2.0, 3.0),
        "hand-out": Percentiles(4.0, 5.0, 6.0),
        "late": Percentiles(0.1, 0.2, 0.3),
        "produced": Percentiles(0.7, 0.8, 0.9),
    },
)


class Pacer(FakeSystem):
    """One that can be paced."""

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__(name, log)
        self.asked: list[Paced] = []

    async def paced(self, topic: str, workload: Paced) -> Run:
        self._does("paced", topic)
        self.asked.append(workload)
        return RUN


async def paced(where: Path, *systems: FakeSystem, quick: bool = True, only: str = "") -> list[Row | CannotBeRun]:
    return [one async for one in WORKLOAD.round(Round(where, systems, quick=quick, only=only))]


def test_all_that_it_names_are_systems_that_there_are() -> None:
    assert set(SYSTEMS) <= set(EVERY)


def test_every_ratio_is_of_what_is_measured() -> None:
    cases = {case_of(rate) for rate in RATES}

    for ratio in WORKLOAD.ratios:
        for system, case, _ in [one for one in (ratio.of, ratio.to) if not isinstance(one, float)]:
            assert system in SYSTEMS, ratio.text
            assert case in cases, ratio.text


async def test_each_rate_has_a_topic_of_its_own_and_a_system_is_started_once(tmp_path: Path) -> None:
    log: list[str] = []
    systems = Pacer("kafka-pixy", log), Pacer("nats", log)

    said = await paced(tmp_path, *systems)

    assert [line for line in log if "nats" in line] == []
    assert [line.partition(" ")[2] for line in log] == ["start", *(f"paced paced-{rate}" for rate in RATES), "stop"]
    assert [one.case for one in said] == [case_of(rate) for rate in RATES]
    assert [(one.rate, one.seconds) for one in systems[0].asked] == [(rate, QUICK_SECONDS) for rate in RATES]


async def test_a_whole_run_is_longer_than_a_quick_one(tmp_path: Path) -> None:
    system = Pacer("fanout", [])

    await paced(tmp_path, system, quick=False, only=SLOW)

    assert [(one.rate, one.seconds) for one in system.asked] == [(RATES[0], SECONDS)]


async def test_a_case_that_a_system_cannot_do_is_named(tmp_path: Path) -> None:
    log: list[str] = []

    said = await paced(tmp_path, FakeSystem("share-groups-java", log))

    assert said == [CannotBeRun("share-groups-java", case_of(rate), "not built") for rate in RATES]
    assert log[-1] == "share-groups-java stop"


async def test_who_cannot_start_is_named_and_the_next_one_goes_on(tmp_path: Path) -> None:
    log: list[str] = []
    some = Pacer("kafka-pixy", log), Pacer("fanout", log)
    some[0].faults["start"] = CannotRun("no Go")

    said = await paced(tmp_path, *some)

    assert said[0] == CannotBeRun("kafka-pixy", "", "no Go")
    assert log.index("kafka-pixy stop") < log.index("fanout start")
    assert [one.system for one in said[1:]] == ["fanout"] * len(RATES)


def test_what_was_not_timed_is_left_out() -> None:
    row = row_of("share-groups-java", SLOW, RUN)

    assert row.figures == {
        "hand-out p50 ms": 4.0,
        "hand-out p99 ms": 5.0,
        "hand-out p99.9 ms": 6.0,
        "producer late p50 ms": 0.1,
        "producer late p99 ms": 0.2,
        "producer's ack p50 ms": 0.7,
        "producer's ack p99 ms": 0.8,
        "broker us/msg": pytest.approx(400.0),
        "clients us/msg": pytest.approx(200.0),
        "msg/s": 500.0,
        "messages": 1000.0,
        "duplicates": 1.0,
    }
