"""Messages that slept through a long delay are read again, whatever happens while they are being read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from fanout_app import waking as module
from fanout_app.core.dispatcher import Limits
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.requests import Pull
from fanout_app.core.resting import Resting
from fanout_app.ports import SourceError
from fanout_app.waking import Waking
from unit.fake_ports import Worker, until


class Scene(Worker):
    """What is nacked here sleeps, and is due as soon as `fall_due` says so."""

    def __init__(self) -> None:
        super().__init__(Limits(long_delay=0.0, client_limit=10_000, max_ack_pending=10_000))
        self.waking = Waking(self.dispatcher, self.commit, self.kafka, self.tasks, self.serve)

    def sleeping(self, number: int, *offsets: int) -> None:
        """These are handed out, and nacked with a delay."""
        self.offer(number, *offsets)
        assert self.hand_out("A", len(offsets)) == list(offsets)
        partition = self.dispatcher.partitions[number]
        run = partition.in_flight[offsets[0]]
        self.dispatcher.leases.fail(run, list(run.messages), monotonic(), 3600.0, "")
        assert set(partition.sleepers) >= set(offsets)

    def fall_due(self, number: int) -> None:
        partition = self.dispatcher.partitions[number]
        self.dispatcher.leases.wake(partition, list(partition.sleepers))

    def has_come_back(self, number: int) -> list[int]:
        return sorted(self.dispatcher.partitions[number].returned)

    def is_idle(self) -> bool:
        return not self.waking._working and not self.tasks._tasks


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(module, "_RETRY_PAUSE", 0.005)
    scene = Scene()
    await scene.own(0, 1)
    yield scene
    await scene.stop()


async def test_what_is_due_is_read_and_handed_out_again(scene: Scene) -> None:
    scene.sleeping(0, 0, 1)
    scene.waking.look()
    assert not scene.kafka.called("read"), "nothing is due"
    scene.fall_due(0)
    served = scene.served
    scene.waking.look()
    await until(scene.is_idle)
    assert scene.kafka.called("read")[-1][1:] == (0, [0, 1])
    assert scene.served > served
    assert scene.hand_out("B", 5) == [0, 1]


async def test_many_are_read_in_parts(scene: Scene) -> None:
    scene.sleeping(0, *range(450))
    scene.fall_due(0)
    scene.waking.look()
    await until(scene.is_idle)
    assert [len(call.what) for call in scene.kafka.called("read")] == [200, 200, 50]
    assert scene.has_come_back(0) == list(range(450))


async def test_nobody_reads_twice_at_a_time(scene: Scene) -> None:
    scene.sleeping(0, 0)
    scene.fall_due(0)
    held = scene.kafka.hold("read")
    scene.waking.look()
    await held.reached()
    scene.waking.look()
    assert len(scene.tasks._tasks) == 1
    held.go_on()
    await until(scene.is_idle)
    assert len(scene.kafka.called("read")) == 1


async def test_what_falls_due_during_a_reading_is_read_after_it(scene: Scene) -> None:
    scene.sleeping(0, 0)
    scene.fall_due(0)
    held = scene.kafka.hold("read")
    scene.waking.look()
    await held.reached()
    scene.sleeping(1, 5)
    scene.fall_due(1)
    scene.waking.look()
    held.go_on()
    await until(scene.is_idle)
    assert (scene.has_come_back(0), scene.has_come_back(1)) == ([0], [5])


async def test_a_partition_that_cannot_be_read_holds_up_no_other(scene: Scene) -> None:
    """Neither one that is due at the same time nor one that is due later."""
    scene.sleeping(0, 0)
    scene.fall_due(0)
    held = scene.kafka.hold("read")
    scene.waking.look()
    await held.reached()
    for offset in (5, 6):
        scene.sleeping(1, offset)
        scene.fall_due(1)
        scene.waking.look()
        await until(lambda offset=offset: offset in scene.has_come_back(1))  # type: ignore[misc]
    assert scene.has_come_back(0) == []
    held.fail(SourceError("no leader"))
    await until(scene.is_idle)
    assert scene.has_come_back(0) == [0]


async def test_kafka_that_does_not_answer_is_asked_again(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.sleeping(0, 0, 1)
    scene.fall_due(0)
    scene.kafka.fail("read", SourceError("timed out"), SourceError("timed out"))
    scene.waking.look()
    await until(scene.is_idle)
    assert len(scene.kafka.called("read")) == 3
    assert scene.has_come_back(0) == [0, 1]
    assert {record.levelno for record in caplog.records if record.name == "fanout.waking"} == {logging.WARNING}


async def test_what_is_in_the_log_no_more_is_settled_and_told(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.sleeping(0, 0, 1)
    scene.fall_due(0)
    scene.kafka.lost = {0}
    scene.waking.look()
    await until(scene.is_idle)
    assert scene.has_come_back(0) == [1]
    assert scene.dispatcher.partitions[0].ledger.floor == 1
    assert scene.dispatcher.counters.lost_to_retention == 1
    assert "1 delayed messages were deleted" in caplog.text
    await until(lambda: scene.commit.committable()[0] == 1)


async def test_one_that_is_acked_while_it_is_being_read_stays_away(scene: Scene) -> None:
    scene.sleeping(0, 0, 1)
    scene.fall_due(0)
    held = scene.kafka.hold("read")
    scene.waking.look()
    await held.reached()
    scene.dispatcher.leases.settle_one(0, 0, monotonic())
    held.go_on()
    await until(scene.is_idle)
    assert scene.has_come_back(0) == [1]
    assert scene.dispatcher.counters.lost_to_retention == 0


@pytest.mark.parametrize("era", [0, 5])
async def test_what_is_read_for_a_partition_that_went_goes_nowhere(scene: Scene, era: int) -> None:
    """Also where it is back already, with the same messages asleep."""
    scene.sleeping(0, 0)
    scene.sleeping(1, 7)
    scene.fall_due(0)
    scene.fall_due(1)
    held = scene.kafka.hold("read")
    scene.waking.look()
    await held.reached()
    first, second = (0, 1) if scene.kafka.called("read")[-1].partition == 0 else (1, 0)
    scene.rebalance()
    scene.kafka.rows = {0: [LedgerSnapshot(era=era)], 1: [LedgerSnapshot(era=era)]}
    await scene.own(0, 1)
    scene.kafka.lost = {0, 7}
    scene.sleeping(first, 0, 7)
    held.go_on()
    await until(scene.is_idle)
    assert (scene.has_come_back(first), scene.has_come_back(second)) == ([], [])
    assert sorted(scene.dispatcher.partitions[first].sleepers) == [0, 7]
    assert scene.dispatcher.partitions[second].ledger.floor == 0, "nothing of it was lost"
    assert scene.dispatcher.counters.lost_to_retention == 0


async def test_of_a_partition_that_went_no_more_is_read(scene: Scene) -> None:
    scene.sleeping(0, *range(250))
    scene.fall_due(0)
    held = scene.kafka.hold("read")
    scene.waking.look()
    await held.reached()
    scene.rebalance()
    held.go_on()
    await until(scene.is_idle)
    assert len(scene.kafka.called("read")) == 1


async def test_a_rebalance_puts_it_off(scene: Scene) -> None:
    scene.sleeping(0, 0)
    scene.fall_due(0)
    scene.rebalance(0, 1)
    scene.waking.look()
    await until(scene.is_idle)
    assert not scene.kafka.called("read")
    await scene.assignment.start({0, 1})
    scene.waking.look()
    await until(scene.is_idle)
    assert scene.has_come_back(0) == [0]


async def test_while_nobody_is_there_they_sleep_on(scene: Scene) -> None:
    scene.sleeping(0, 0)
    scene.fall_due(0)
    now = monotonic()
    assert Resting(scene.dispatcher).to_read(200, now + 100.0) == {}
    scene.dispatcher.paused = True
    scene.waking.look()
    await until(scene.is_idle)
    assert not scene.kafka.called("read")
    scene.dispatcher.paused = False
    scene.dispatcher.add_pull(now + 100.0, Pull(client="B"))
    scene.waking.look()
    await until(scene.is_idle)
    assert scene.has_come_back(0) == [0]


async def test_a_fault_is_told_and_leaves_nobody_waiting_for_it(scene: Scene) -> None:
    scene.sleeping(0, 0)
    scene.fall_due(0)
    scene.kafka.fail("read", RuntimeError("a bug"))
    scene.waking.look()
    await until(lambda: scene.faults)
    assert scene.is_idle()
    scene.faults.clear()


async def test_it_ends_with_the_worker(scene: Scene) -> None:
    scene.sleeping(0, 0)
    scene.fall_due(0)
    held = scene.kafka.hold("read")
    scene.waking.look()
    await held.reached()
    async with asyncio.timeout(1.0):
        await scene.tasks.stop()
    assert scene.is_idle()
