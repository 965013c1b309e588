"""The cases of the workload drain, through systems that only write down what they are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers.every import SYSTEMS
from benchmarks.peers.system import CannotRun
from benchmarks.workloads.drain import AT_MOST, BULK, CASES, KIBIBYTES, SINGLES, TENS, WORKLOAD, row_of
from benchmarks.workloads.workload import CannotBeRun, Round, Row
from unit.bench.fakes import RUN, FakeSystem


async def drained(where: Path, *systems: FakeSystem, only: str = "", quick: bool = True) -> list[Row | CannotBeRun]:
    return [one async for one in WORKLOAD.round(Round(where, systems, quick=quick, only=only))]


def test_every_system_that_there_is_has_a_case_and_no_other() -> None:
    assert {name for case in CASES for name in case.messages} == set(SYSTEMS)


def test_no_two_cases_have_the_same_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_ratio_is_of_what_is_measured() -> None:
    measured = {(name, case.name) for case in CASES for name in case.messages}

    for ratio in WORKLOAD.ratios:
        assert ratio.of[:2] in measured, ratio.text
        assert isinstance(ratio.to, float) or ratio.to[:2] in measured, ratio.text


async def test_a_topic_is_filled_once_where_it_keeps_its_messages(tmp_path: Path) -> None:
    log: list[str] = []

    said = await drained(tmp_path, FakeSystem("nats", log))

    assert [one.case for one in said] == [case.name for case in CASES if "nats" in case.messages]
    assert [line.split()[1] for line in log] == ["start", "fill", "drain", "drain", "drain", "stop"]


async def test_a_topic_is_filled_anew_where_it_is_empty_afterwards(tmp_path: Path) -> None:
    log: list[str] = []

    await drained(tmp_path, FakeSystem("nats", log, keeps_messages=False))

    assert [line.split()[1] for line in log] == ["start", *["fill", "drain"] * 3, "stop"]
    assert len({line for line in log if "fill" in line}) == 3


async def test_the_first_case_is_run_once_before_it_counts(tmp_path: Path) -> None:
    log: list[str] = []

    said = await drained(tmp_path, FakeSystem("fanout-msgpack", log), quick=False)

    assert [one.case for one in said] == [BULK.name, KIBIBYTES.name]
    assert [line.split()[1] for line in log] == ["start", "fill", "drain", "drain", "fill", "drain", "stop"]


async def test_only_the_cases_asked_for_are_run_and_no_system_without_one_is_started(tmp_path: Path) -> None:
    log: list[str] = []

    said = await drained(tmp_path, FakeSystem("nats", log), FakeSystem("faust-agent", log), only=SINGLES.name)

    assert [(one.system, one.case) for one in said] == [("nats", SINGLES.name)]
    assert "faust-agent start" not in log


async def test_a_case_that_a_system_cannot_do_leaves_it_the_others(tmp_path: Path) -> None:
    class Picky(FakeSystem):
        async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
            if size > 100:
                raise CannotRun("too large")

    said = await drained(tmp_path, Picky("fanout", []))

    of_size = {one.case: type(one) for one in said}
    assert all((kind is CannotBeRun) == case.startswith("1 KiB") for case, kind in of_size.items())
    assert set(of_size.values()) == {Row, CannotBeRun}


async def test_who_cannot_start_is_named_and_the_next_one_goes_on(tmp_path: Path) -> None:
    log: list[str] = []
    some = FakeSystem("elasticmq", log), FakeSystem("aiokafka", log)
    some[0].faults["start"] = CannotRun("no Java")

    said = await drained(tmp_path, *some)

    assert said[0] == CannotBeRun("elasticmq", "", "no Java")
    assert [one.system for one in said] == ["elasticmq", "aiokafka"]
    assert log.index("elasticmq stop") < log.index("aiokafka start")


async def test_a_failure_stops_the_system_and_is_raised(tmp_path: Path) -> None:
    log: list[str] = []
    system = FakeSystem("aiokafka", log)
    system.faults["drain"] = RuntimeError("lost a message")

    with pytest.raises(RuntimeError, match="lost a message"):
        await drained(tmp_path, system)

    assert log[-1] == "aiokafka stop"


async def test_a_smaller_batch_than_the_case_says_is_said(tmp_path: Path) -> None:
    said = await drained(tmp_path, FakeSystem("elasticmq", []), FakeSystem("aiokafka", []))

    notes = {(one.system, one.case): one.notes for one in said if isinstance(one, Row)}
    assert notes == {
        ("elasticmq", BULK.name): {"batch": f"{AT_MOST['elasticmq']}, the most there"},
        ("elasticmq", TENS.name): {},
        ("aiokafka", BULK.name): {},
    }


def test_cpu_is_of_each_message_and_a_part_that_is_not_there_is_left_out() -> None:
    row = row_of("fanout", BULK.name, RUN, {})

    assert row.figures["msg/s"] == 2000.0
    assert row.figures["server us/msg"] == pytest.approx(4.0)
    assert "broker us/msg" not in row.figures
    assert row.figures["clients us/msg"] == pytest.approx(2.0)
    assert (row.figures["pull p50 ms"], row.figures["pull p99 ms"]) == (1.0, 2.0)
    assert (row.figures["messages"], row.figures["duplicates"]) == (1000.0, 1.0)


def test_two_workers_say_what_they_could_do_with_a_core_each() -> None:
    row = row_of("fanout-2-workers", SINGLES.name, RUN, {})

    # 4 us a message: 250,000 a second and core.
    assert row.figures["msg/s, a core each"] == pytest.approx(500_000)


def test_how_cpu_was_counted_is_in_the_notes() -> None:
    row = row_of("fanout", BULK.name, replace(RUN, cpu_note="of its whole life"), {})

    assert row.notes == {"CPU": "of its whole life"}
