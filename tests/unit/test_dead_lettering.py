"""Messages that are given up on: written where such messages go, and settled only after that."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest

from fanout_app import dead_lettering as module
from fanout_app.core.dispatcher import Limits
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.message import Message
from fanout_app.dead_lettering import DeadLettering
from fanout_app.ports import SourceError
from unit.fake_ports import Worker, until


class Scene(Worker):
    """Here one delivery that ends badly is one too many."""

    def __init__(self) -> None:
        super().__init__(Limits(max_deliver=1, client_limit=10_000))
        self.fed = 0
        self.dead_lettering = DeadLettering(self.dispatcher, self.commit, self.kafka, self.tasks, self.feed)

    def feed(self) -> None:
        self.fed += 1

    def give_up_on(self, number: int, *offsets: int) -> None:
        self.offer(number, *offsets)
        assert self.hand_out("A", len(offsets)) == list(offsets)
        run = self.dispatcher.partitions[number].in_flight[offsets[0]]
        self.dispatcher.leases.fail(run, list(run.messages), monotonic(), None, "cannot be parsed")
        assert set(self.dispatcher.partitions[number].spent) >= set(offsets)

    def is_idle(self) -> bool:
        return not self.dead_lettering._working and not self.tasks._tasks


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(module, "_RETRY_PAUSE", 0.005)
    monkeypatch.setattr(module, "_WRITE_FOR", 1.0)
    scene = Scene()
    await scene.own(0)
    yield scene
    await scene.stop()


async def test_it_is_settled_only_when_it_is_there(scene: Scene) -> None:
    scene.give_up_on(0, 0)
    put = scene.kafka.hold("put")
    scene.dead_lettering.look()
    await put.reached()
    assert scene.kafka.called("put")[-1].what == (0, 1, "cannot be parsed", "A")
    assert scene.dispatcher.partitions[0].ledger.floor == 0
    assert scene.hand_out("B") == []
    put.go_on()
    await until(scene.is_idle)
    assert scene.dispatcher.partitions[0].ledger.floor == 1
    assert scene.dispatcher.counters.dead_lettered == 1
    await until(lambda: scene.commit.committable()[0] == 1)


async def test_it_makes_room_for_more(scene: Scene) -> None:
    scene.give_up_on(0, 0, 1)
    scene.dead_lettering.look()
    await until(scene.is_idle)
    assert scene.dispatcher.bytes_held() == 0
    assert scene.fed > 0, "the intake may have waited for just that"


async def test_a_sink_that_fails_keeps_the_message_here_and_is_tried_again(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.give_up_on(0, 0)
    scene.kafka.fail("put", *[SourceError("timed out")] * 5)
    scene.dead_lettering.look()
    await until(lambda: len(scene.kafka.called("put")) == 3)
    assert list(scene.dispatcher.partitions[0].spent) == [0]
    await until(scene.is_idle)
    assert scene.kafka.put_away == [(0, 0)]
    warned = [record for record in caplog.records if "not written at the moment" in record.message]
    assert len(warned) == 1


async def test_one_that_fails_holds_up_no_other(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.give_up_on(0, *range(250))
    scene.kafka.fail("put", *[SourceError("too large")] * 100)
    scene.dead_lettering.look()
    await until(scene.is_idle)
    assert sorted(scene.kafka.put_away) == [(0, offset) for offset in range(250)]
    assert scene.dispatcher.partitions[0].ledger.floor == 250
    given_up = [record for record in caplog.records if "given up on" in record.message]
    assert len(given_up) == 250


async def test_any_number_that_are_never_taken_hold_up_no_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    put = scene.kafka.put

    async def too_large_below_150(partition: int, message: Message, **about: Any) -> None:
        if message.offset < 150:
            raise SourceError("too large")
        await put(partition, message, **about)

    monkeypatch.setattr(scene.kafka, "put", too_large_below_150)
    scene.give_up_on(0, *range(250))
    scene.dead_lettering.look()
    await until(lambda: len(scene.kafka.put_away) == 100)
    assert list(scene.dispatcher.partitions[0].spent) == list(range(150))


async def test_one_settled_while_others_are_written_is_not_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    scene.give_up_on(0, 0, 1)
    put = scene.kafka.hold("put")
    scene.dead_lettering.look()
    await put.reached()
    scene.dispatcher.leases.settle_one(0, 1, monotonic())
    put.go_on()
    await until(scene.is_idle)
    assert scene.kafka.put_away == [(0, 0)]


async def test_a_sink_that_hangs_is_no_longer_waited_for_after_a_while(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WRITE_FOR", 0.01)
    scene.give_up_on(0, 0)
    scene.kafka.hold("put")
    scene.dead_lettering.look()
    await until(scene.is_idle)
    assert len(scene.kafka.called("put")) == 2
    assert scene.kafka.put_away == [(0, 0)]


async def test_one_acked_late_while_it_is_being_written_counts_as_acked(scene: Scene) -> None:
    scene.give_up_on(0, 0)
    put = scene.kafka.hold("put")
    scene.dead_lettering.look()
    await put.reached()
    scene.dispatcher.leases.settle_one(0, 0, monotonic())
    put.go_on()
    await until(scene.is_idle)
    assert scene.dispatcher.counters.dead_lettered == 0
    assert scene.dispatcher.partitions[0].ledger.floor == 1


@pytest.mark.parametrize("back", [False, True])
async def test_a_partition_that_goes_meanwhile_settles_nothing(scene: Scene, back: bool) -> None:
    """Whoever has it then gives the message up once more: written twice, never lost."""
    scene.give_up_on(0, 0)
    put = scene.kafka.hold("put")
    scene.dead_lettering.look()
    await put.reached()
    scene.rebalance()
    if back:
        scene.kafka.rows = {0: [LedgerSnapshot(failures={0: 1})]}
        await scene.own(0)
        scene.offer(0, 0)
        assert list(scene.dispatcher.partitions[0].spent) == [0]
    put.go_on()
    await until(scene.is_idle)
    assert scene.dispatcher.counters.dead_lettered == int(back)
    assert scene.kafka.put_away == [(0, 0)] * (1 + back)


async def test_nobody_writes_twice_at_a_time(scene: Scene) -> None:
    scene.dead_lettering.look()
    assert not scene.tasks._tasks
    scene.give_up_on(0, 0)
    put = scene.kafka.hold("put")
    scene.dead_lettering.look()
    await put.reached()
    scene.give_up_on(0, 1)
    scene.dead_lettering.look()
    assert len(scene.tasks._tasks) == 1
    put.go_on()
    await until(scene.is_idle)
    assert scene.kafka.put_away == [(0, 0), (0, 1)]


async def test_what_the_message_holds_is_not_logged(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.give_up_on(0, 0)
    with caplog.at_level(logging.DEBUG):
        scene.dead_lettering.look()
        await until(scene.is_idle)
    assert "given up on after 1 deliveries (cannot be parsed), client A had it last" in caplog.text
    assert "b'x'" not in caplog.text


async def test_a_fault_is_told_and_leaves_nobody_waiting_for_it(scene: Scene) -> None:
    scene.give_up_on(0, 0)
    scene.kafka.fail("put", RuntimeError("a bug"))
    scene.dead_lettering.look()
    await until(lambda: scene.faults)
    assert scene.is_idle()
    scene.faults.clear()
