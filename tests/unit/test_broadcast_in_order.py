"""``--delivery broadcast --order key``: each group has each key in order, whatever the others do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.requests import Settle
from support.messages import FakeMessage
from unit.fake_ports import FakeFetch
from unit.scene import entries, offsets
from unit.test_broadcast import Broadcasting


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broadcasting]:
    for name, value in (("ID", "a"), ("TOPIC", "t"), ("DELIVERY", "broadcast")):
        monkeypatch.setenv(f"FANOUT_{name}", value)
    scene = Broadcasting(Limits(order_by_key=True))
    await scene.own(0)
    yield scene
    await scene.stop()


async def test_what_one_group_holds_or_fails_holds_nothing_up_in_another(scene: Broadcasting) -> None:
    await scene.joined("x", "y")
    keys = b"k", b"k", b"other", None, None, b"k"
    await scene.runtime.take(FakeFetch(0, 0, 6, [FakeMessage(offset, key=key) for offset, key in enumerate(keys)]))
    x, y = await scene.of("x"), await scene.of("y")
    assert offsets(x) == offsets(y) == [0, 2, 3, 4]

    await scene.runtime.settle(Settle(nack=entries(x)[:1], ack=entries(x)[1:]))
    await scene.ack(y)
    second = await scene.of("y")
    assert offsets(second) == [1]
    await scene.ack(second)
    assert await scene.get("y") == [5]
    assert await scene.get("x") == [0], "again, and nothing of its key before it is settled"
    row = scene.runtime.partitions_status()[0]
    assert (row["blocked"], row["groups"]["x"]["floor"], row["groups"]["y"]["floor"]) == (2, 0, 5)


async def test_the_next_owner_keeps_the_order_of_each(scene: Broadcasting) -> None:
    await scene.joined("x", "y")
    await scene.runtime.take(FakeFetch(0, 0, 3, [FakeMessage(offset, key=b"k") for offset in range(3)]))
    await scene.ack(await scene.of("x"))
    assert await scene.get("y") == [0]
    await scene.moved_to(0)
    await scene.runtime.take(FakeFetch(0, 0, 3, [FakeMessage(offset, key=b"k") for offset in range(3)]))
    assert await scene.get("x") == [1]
    assert await scene.get("y", wait=0.0) == [], "its client has the first one still"
