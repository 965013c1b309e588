"""Group commit against a store whose writes end when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.group_commit import GroupCommit
from fanout_app.ports import WriteError

NUMBER = 3
#: Far longer than anything here takes; only a test that fails waits for it.
LONG = 5.0


class Store:
    """Keeps what it was given and acknowledges on demand."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, LedgerSnapshot]] = []
        self._acks: asyncio.Queue[Exception | None] = asyncio.Queue()
        self._asked = asyncio.Event()

    async def write_row(self, partition: int, snapshot: LedgerSnapshot) -> int:
        self.rows.append((partition, snapshot))
        self._asked.set()
        error = await self._acks.get()
        if error is not None:
            raise error
        return 100

    def acknowledge(self, error: Exception | None = None) -> None:
        self._acks.put_nowait(error)

    async def asked(self) -> None:
        """Wait until a row is being written."""
        async with asyncio.timeout(LONG):
            await self._asked.wait()
        self._asked.clear()


class Ownership:
    def __init__(self) -> None:
        self.number = 1
        self.confirmed = True

    def term(self) -> int:
        return self.number

    def holds(self, term: int, now: float) -> bool:
        return term == self.number and self.confirmed

    def trusted(self, now: float) -> bool:
        return self.confirmed


class Scene:
    """A dispatcher with one partition, and the group commit over it."""

    def __init__(self) -> None:
        self.store = Store()
        self.ownership = Ownership()
        self.dispatcher = Dispatcher(Limits(), new_batch=lambda: 1, jitter=lambda: 0.0)
        self.ledger = self.dispatcher.assign(NUMBER, LedgerSnapshot(floor=10)).ledger
        self.faults: list[BaseException] = []
        self.commit = GroupCommit(self.dispatcher, self.store, self.ownership, self.faults.append)
        self.commit.assign(NUMBER)

    def settle(self, offset: int, timeout: float = LONG) -> asyncio.Task[bool]:
        self.ledger.settle((offset,))
        return asyncio.create_task(self.commit.written(NUMBER, self.ledger.version, timeout))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    for _ in range(10):
        scene.store.acknowledge()
    await scene.commit.stop()


async def test_a_settle_is_answered_only_when_its_row_is_acknowledged(scene: Scene) -> None:
    settled = scene.settle(10)
    await scene.store.asked()
    assert not settled.done()
    assert scene.commit.committable() == {NUMBER: 10}, "the floor must not pass what is acknowledged"
    scene.store.acknowledge()
    assert await settled
    assert scene.store.rows[0][1].floor == 11
    assert scene.commit.committable() == {NUMBER: 11}


async def test_however_often_kafka_takes_no_row_that_is_told_once_and_so_is_its_end(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    settled = scene.settle(10)
    for _ in range(3):
        await scene.store.asked()
        scene.store.acknowledge(WriteError("no leader"))
    await scene.store.asked()
    scene.store.acknowledge()
    assert await settled
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 2, told
    assert "no leader" in told[0]
    assert told[1] == "Kafka takes ledger rows again"


async def test_settles_that_come_during_a_write_share_the_next_one(scene: Scene) -> None:
    first = scene.settle(10)
    await scene.store.asked()
    others = [scene.settle(offset) for offset in (12, 13, 11)]
    scene.store.acknowledge()
    assert await first
    await scene.store.asked()
    scene.store.acknowledge()
    assert all(await asyncio.gather(*others))
    assert [snapshot.floor for _, snapshot in scene.store.rows] == [11, 14]


async def test_a_write_that_began_before_the_settle_does_not_answer_it(scene: Scene) -> None:
    first = scene.settle(10)
    await scene.store.asked()
    late = scene.settle(11)
    scene.store.acknowledge()
    assert await first
    await scene.store.asked()
    assert not late.done()
    scene.store.acknowledge()
    assert await late


@pytest.mark.parametrize("lost", ["rebalance", "silent coordinator"])
async def test_an_acknowledgement_that_finds_the_ownership_gone_answers_nobody(scene: Scene, lost: str) -> None:
    settled = scene.settle(10, timeout=0.2)
    await scene.store.asked()
    if lost == "rebalance":
        scene.ownership.number += 1
    scene.ownership.confirmed = False
    scene.store.acknowledge()
    for _ in range(3):
        scene.store.acknowledge()
    assert not await settled, "the outcome must be unknown, not done"
    assert scene.commit.committable() == {NUMBER: 10}


async def test_a_settle_is_answered_after_a_rebalance_that_left_the_partition_here(scene: Scene) -> None:
    settled = scene.settle(10)
    await scene.store.asked()
    scene.ownership.number += 1
    scene.store.acknowledge()  # finds another term: proves nothing
    await scene.store.asked()
    scene.store.acknowledge()
    assert await settled
    assert len(scene.store.rows) == 2


async def test_a_failed_write_is_tried_again(scene: Scene) -> None:
    settled = scene.settle(10)
    await scene.store.asked()
    scene.store.acknowledge(WriteError("no broker"))
    await scene.store.asked()
    assert not settled.done()
    scene.store.acknowledge()
    assert await settled


async def test_a_write_that_fails_in_a_way_nobody_knows_is_told_to_who_ends_the_worker(scene: Scene) -> None:
    settled = scene.settle(10, timeout=0.2)
    await scene.store.asked()
    scene.store.acknowledge(RuntimeError("a bug"))
    assert not await settled
    assert [str(fault) for fault in scene.faults] == ["a bug"]


async def test_who_has_given_up_waiting_is_not_remembered(scene: Scene) -> None:
    """Kafka may take nothing for hours, and every request that comes meanwhile waits for a while."""
    waits = [scene.settle(offset, timeout=0.01) for offset in range(10, 60)]
    assert not any(await asyncio.gather(*waits))
    gone = scene.settle(60)
    await scene.store.asked()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert scene.commit._lines[NUMBER].waiters == {}
    scene.store.acknowledge()


async def test_who_waits_for_a_partition_that_is_given_up_learns_that_its_outcome_is_unknown(scene: Scene) -> None:
    settled = scene.settle(10)
    await scene.store.asked()
    scene.commit.drop(NUMBER)
    assert not await settled
    assert not await scene.commit.written(NUMBER, 0, LONG)
    scene.store.acknowledge()


async def test_what_is_durable_already_is_answered_without_a_write(scene: Scene) -> None:
    settled = scene.settle(10)
    await scene.store.asked()
    scene.store.acknowledge()
    assert await settled
    assert await scene.commit.written(NUMBER, scene.ledger.version, LONG)
    assert len(scene.store.rows) == 1


async def test_what_is_durable_already_is_not_answered_by_who_may_have_lost_it(scene: Scene) -> None:
    settled = scene.settle(10)
    await scene.store.asked()
    scene.store.acknowledge()
    assert await settled
    scene.ownership.confirmed = False
    for _ in range(5):
        scene.store.acknowledge()
    assert not await scene.commit.written(NUMBER, scene.ledger.version, 0.1)


async def test_the_last_row_is_written_although_nobody_can_be_answered_for_it(scene: Scene) -> None:
    scene.ledger.settle((10,))
    scene.ownership.confirmed = False
    last = asyncio.create_task(scene.commit.write_last(LONG))
    await scene.store.asked()
    scene.store.acknowledge()
    await last
    assert scene.store.rows[-1][1].floor == 11


async def test_the_last_row_does_not_hold_a_rebalance_up(scene: Scene) -> None:
    scene.ledger.settle((10,))
    began = monotonic()
    await scene.commit.write_last(0.05)  # never acknowledged
    assert monotonic() - began < 1.0


async def test_stopping_ends_every_wait(scene: Scene) -> None:
    settled = scene.settle(10)
    await scene.store.asked()
    scene.store.acknowledge()
    scene.store.acknowledge()
    await scene.commit.stop()
    assert settled.done() or not await settled
