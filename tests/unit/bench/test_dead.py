"""What the workload dead makes of who was handed what."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.system import CannotRun
from benchmarks.workloads.dead import IDEAL, OVER, TO_THE_LAST, WORKLOAD, HandOuts
from benchmarks.workloads.workload import CannotBeRun, Round

A, B, C = (0, 0), (0, 1), (1, 0)


def some_of_everything() -> HandOuts:
    """One message to a client that acks, one that comes back after a lease, and one after two."""
    handed = HandOuts()
    handed.note(A, 100.0, 102.0, dead=False)
    handed.note(B, 100.5, 102.5, dead=True)
    handed.note(C, 101.0, 103.0, dead=True)
    handed.note(B, 102.6, 104.6, dead=False)
    handed.note(C, 103.2, 105.2, dead=True)
    handed.note(C, 105.5, 107.5, dead=False)
    return handed


def test_the_ideal_is_the_end_of_the_last_first_lease_of_a_dead_client() -> None:
    figures = some_of_everything().figures()

    assert figures[TO_THE_LAST] == pytest.approx(5.5)
    assert figures[IDEAL] == pytest.approx(3.0)
    assert figures[OVER] == pytest.approx(5.5 / 3.0)


def test_how_late_a_message_is_counts_from_the_end_of_its_first_lease() -> None:
    figures = some_of_everything().figures()

    assert figures["after the lease p50 ms"] == pytest.approx(2500.0)
    assert figures["after the lease p99 ms"] == pytest.approx(2500.0)
    assert (figures["messages"], figures["first to a dead client"], figures["handed out again"]) == (3, 2, 3)


def test_a_message_is_done_once() -> None:
    handed = some_of_everything()
    handed.note(A, 110.0, 112.0, dead=False)

    assert handed.done == 3
    assert handed.figures()[TO_THE_LAST] == pytest.approx(5.5)


def test_what_no_client_had_that_acks_is_an_error() -> None:
    handed = some_of_everything()
    handed.note((1, 7), 110.0, 112.0, dead=True)

    assert handed.done == 3
    with pytest.raises(ValueError, match="partition 1, offset 7"):
        handed.figures()


async def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_java(self: KafkaStack) -> None:
        raise CannotRun("no java found")

    monkeypatch.setattr(KafkaStack, "start", no_java)

    said = [one async for one in WORKLOAD.round(Round(tmp_path, (), quick=True))]

    assert said == [CannotBeRun("fanout", "", "no java found")]
