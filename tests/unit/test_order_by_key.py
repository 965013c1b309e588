"""A worker's runtime where messages of one key wait for one another: who waits is served when one comes free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.ledger import LedgerSnapshot
from support.messages import FakeMessage
from unit.fake_ports import LONG, FakeFetch, until
from unit.scene import Scene, entries, offsets


class OneKey(Scene):
    """All messages of partition 0 have the same key, and one delivery that ends badly is one too many."""

    def __init__(self) -> None:
        super().__init__(Limits(order_by_key=True, max_deliver=1))

    async def read(self, count: int) -> None:
        asked = self.runtime.dispatcher.partitions[0].next_offset
        found = [FakeMessage(offset, key=b"k") for offset in range(asked, asked + count)]
        await self.runtime.take(FakeFetch(0, asked, asked + count, list(found)))


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OneKey]:
    monkeypatch.setenv("FANOUT_ID", "a")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    monkeypatch.setenv("FANOUT_DRAIN", "1ms")
    scene = OneKey()
    yield scene
    await scene.stop()


async def test_an_ack_lets_the_next_one_go_to_who_waits(scene: OneKey) -> None:
    await scene.own(0)
    await scene.read(3)
    first = await scene.answer("A", 5)
    assert offsets(first) == [0]
    waiting = scene.pulling("B")
    await until(lambda: len(scene.runtime.queue.pulls))
    await scene.settling(ack=entries(first))
    async with asyncio.timeout(LONG / 2):
        assert offsets(await waiting) == [1]


async def test_a_dead_letter_that_is_put_away_lets_the_next_one_go_to_who_waits(scene: OneKey) -> None:
    await scene.own(0)
    await scene.read(2)
    first = await scene.answer("A")
    waiting = scene.pulling("B")
    put = scene.kafka.hold("put")
    await scene.settling(nack=entries(first))
    await put.reached()
    assert not waiting.done()
    put.go_on()
    dispatcher = scene.runtime.dispatcher
    await until(lambda: dispatcher.counters.dead_lettered == 1)
    assert [*dispatcher.partitions[0].in_flight] == [1], "at once, not when somebody looks next"
    async with asyncio.timeout(LONG / 2):
        assert offsets(await waiting) == [1]


async def test_one_that_an_earlier_owner_gave_up_on_is_put_away_when_it_is_its_turn(scene: OneKey) -> None:
    scene.kafka.rows[0] = [LedgerSnapshot(failures={1: 1, 2: 1})]
    await scene.own(0)
    await scene.read(4)
    first = await scene.answer("A")
    assert offsets(first) == [0]
    waiting = scene.pulling("B")
    await scene.settling(ack=entries(first))
    async with asyncio.timeout(LONG / 2):
        assert offsets(await waiting) == [3]
    assert len(scene.kafka.called("put")) == 2
