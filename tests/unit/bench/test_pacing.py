"""The course of a paced run, as far as it goes without servers."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.peers import pacing
from benchmarks.peers.system import Cpu, Paced, Percentiles, Run

PACED = Paced(rate=500, seconds=1, warm_up=1, settled=0)
PRODUCER = ["producer"]


class Course:
    """Clients that wait when they are told to, and what happened in which order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, messages: int = 500) -> None:
        self.order: list[str] = []
        self._messages = messages
        self._produced = asyncio.Event()
        self._asked = 0
        monkeypatch.setattr(pacing, "output_of", self._produce)

    async def _produce(self, command: list[str]) -> str:
        assert command == PRODUCER
        self.order.append("produced")
        self._produced.set()
        return '{"late": {"p50": 0.1, "p99": 0.2, "p999": 0.3}, "produced": {"p50": 4, "p99": 5, "p999": 6}}'

    async def clients(self) -> Run:
        self.order.append("clients")
        await self._produced.wait()
        timed = {"hand-out": Percentiles(1.0, 2.0, 3.0)}
        return Run(self._messages, 0, 1.0, 2.0, Cpu(0.1, 0.2, 0.3), timed)

    async def are_waiting(self) -> bool:
        self._asked += 1
        await asyncio.sleep(0)
        if self._asked < 3:
            return False
        self.order.append("waiting")
        return True

    async def run(self) -> Run:
        return await pacing.paced_run(PACED, PRODUCER, self.clients(), self.are_waiting)


async def test_messages_are_produced_when_all_clients_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    course = Course(monkeypatch)
    run = await course.run()
    assert course.order == ["clients", "waiting", "produced"]
    assert run.messages == 500
    assert run.latencies == {
        "hand-out": Percentiles(1.0, 2.0, 3.0),
        "late": Percentiles(0.1, 0.2, 0.3),
        "produced": Percentiles(4, 5, 6),
    }


def test_the_producer_is_told_all_messages_and_how_many_do_not_count() -> None:
    command = pacing.kafka_producer("topic", PACED, "brokers")
    assert command[-7:] == ["brokers", "topic", "4", "500", "1000", "500", "100"]


async def test_a_message_that_did_not_come_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="499 messages came"):
        await Course(monkeypatch, messages=499).run()


async def test_clients_that_end_before_they_wait_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    course = Course(monkeypatch)

    async def broken() -> Run:
        raise RuntimeError("load ended with 1: refused")

    async def never() -> bool:
        return False

    with pytest.raises(RuntimeError, match="load ended with 1: refused"):
        await pacing.paced_run(PACED, PRODUCER, broken(), never)
    assert course.order == []


async def test_clients_that_never_wait_are_an_error_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    course = Course(monkeypatch)
    monkeypatch.setattr(pacing, "PATIENCE", -1.0)
    ended = asyncio.Event()

    async def clients() -> Run:
        try:
            return await course.clients()
        finally:
            ended.set()

    async def never() -> bool:
        await asyncio.sleep(0)
        return False

    with pytest.raises(RuntimeError, match="do not wait"):
        await pacing.paced_run(PACED, PRODUCER, clients(), never)
    assert ended.is_set()
