"""How long a settle takes at most, whatever hangs: `docs/api.md` promises an answer within 5 s."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, NoReturn
from unittest.mock import Mock

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.group_row import Slot
from fanout_app.core.lease import Answer
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.requests import Entry, LeaseRef, Pull, Settle, Status
from fanout_app.core.start import Start
from fanout_app.options import from_environment
from fanout_app.runtime import Runtime
from support.messages import messages
from unit.fake_ports import without_leader

PARTITIONS = 4
#: Instead of the 5 s. One wait for each thing that hangs would be five times that.
AT_MOST = 0.4


class Hanging:
    """A Kafka that lets a worker begin, and then answers nothing any more."""

    async def find(self, partitions: set[int]) -> dict[int, Start]:
        return {number: Start(LedgerSnapshot(), write=False) for number in partitions}

    async def write_row(self, partition: int, snapshot: LedgerSnapshot) -> int:
        return await _never()

    async def write_slot(self, partition: int, number: int, slot: Slot) -> int:
        return await _never()

    async def put(self, *about: object, **more: object) -> None:
        await _never()

    def member(self) -> str:
        return "us"

    def wake_up(self) -> None:
        pass

    def term(self) -> int:
        return 1

    def holds(self, term: int, now: float) -> bool:
        return True

    def trusted(self, now: float) -> bool:
        return True

    def rebalance_ended(self, term: int) -> bool:
        return True


async def _never() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
async def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """Each of its partitions has two messages, buffered."""
    monkeypatch.setenv("FANOUT_ID", "a")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    monkeypatch.setattr("fanout_app.settles.MOVING", AT_MOST)
    runtime, kafka = Runtime(from_environment(), worker="w", limits=Limits()), Hanging()
    without_leader(runtime)
    unused: Any = Mock()
    connected: Any = kafka
    runtime.connect(
        source=connected, starts=kafka, terms=kafka, store=kafka, bodies=unused, dead_letters=kafka, switch=unused,
        render=unused, on_fault=unused,
    )  # fmt: skip
    runtime.assigned(set(range(PARTITIONS)), 1)
    await runtime.start(set(range(PARTITIONS)))
    for number in range(PARTITIONS):
        assert runtime.dispatcher.offer(number, 0, 2, messages([0, 1]))
    return runtime


async def test_all_that_hangs_is_waited_for_at_the_same_time(runtime: Runtime) -> None:
    answer = await runtime.pull(Pull(client="a", max_messages=2 * PARTITIONS, ack_wait=30.0), wait=0.0)
    assert isinstance(answer, Answer)
    entries = [
        Entry(
            token=f"{run.partition}/{message.offset}", ref=LeaseRef(run.partition, 0, message.offset, 1, answer.batch)
        )
        for run in answer.runs
        for message in run.messages
    ]
    began = monotonic()

    outcome = await runtime.settle(Settle(reject=entries[::2], ack=entries[1::2]))

    assert monotonic() - began < 2 * AT_MOST
    assert dict(outcome.results) == dict.fromkeys([entry.token for entry in entries], Status.RETRY)
    await runtime.stop()
