"""With broadcast a message is parked for the group that gave up on it, and goes back to that one alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import replace

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.errors import NotOwnedError
from fanout_app.core.parked import ParkedMessage, Redriven
from fanout_app.core.requests import Settle
from fanout_app.parked_of_groups import ParkedOfGroups
from support.messages import FakeMessage
from unit.fake_ports import FakeFetch, until
from unit.scene import entries
from unit.test_broadcast import Broadcasting


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broadcasting]:
    for name, value in (("ID", "a"), ("TOPIC", "t"), ("DELIVERY", "broadcast")):
        monkeypatch.setenv(f"FANOUT_{name}", value)
    scene = Broadcasting(replace(Limits(), max_deliver=1))
    await scene.own(0, 1)
    yield scene
    await scene.stop()


async def test_it_is_put_away_for_the_group_that_rejects_it_or_fails_it_too_often(scene: Broadcasting) -> None:
    await scene.joined("x", "y")
    await scene.arrive(0, 1)
    x, y = await scene.of("x", 1), await scene.of("y", 2)
    assert (await scene.runtime.settle(Settle(reject=entries(x)))).rejected == 1
    assert (await scene.runtime.settle(Settle(nack=entries(y)[1:]))).nacked == 1
    await until(lambda: len(scene.kafka.put_away) == 2)
    assert (scene.kafka.put_away, scene.kafka.put_away_for) == ([(0, 0), (0, 1)], ["x", "y"])
    await until(lambda: scene.of_group("y").dispatcher.partitions[0].ledger.is_settled(1))
    assert not scene.of_group("x").dispatcher.partitions[0].ledger.is_settled(1)


class Asked:
    """A parked topic that remembers what it was asked for."""

    def __init__(self) -> None:
        self.redrives: list[tuple[Sequence[int] | None, Set[str] | None]] = []

    async def list(self, limit: int, after: int) -> Sequence[ParkedMessage]:
        return [ParkedMessage(limit, 0, after, 0, 0, 1, "", "", None, None, ())]

    async def redrive(self, parked: Sequence[int] | None, groups: Set[str] | None = None) -> Redriven:
        self.redrives.append((parked, groups))
        return Redriven(0, [], [7])


async def test_a_redrive_is_for_the_groups_that_are_there() -> None:
    topic = Asked()

    async def everywhere() -> Set[str] | None:
        return there

    parked, there = ParkedOfGroups(topic, everywhere), frozenset({"x"})
    assert (await parked.redrive([7])).no_group == [7]
    assert topic.redrives == [([7], {"x"})]
    assert [(one.parked, one.offset) for one in await parked.list(3, 5)] == [(3, 5)]


async def test_while_it_is_not_known_which_these_are_nothing_is_redriven() -> None:
    topic = Asked()

    async def everywhere() -> Set[str] | None:
        return None

    with pytest.raises(NotOwnedError, match="ask again"):
        await ParkedOfGroups(topic, everywhere).redrive(None)
    assert topic.redrives == []


async def test_who_passes_it_over_holds_the_floor_up_no_longer_than_until_his_row_is_written(
    scene: Broadcasting,
) -> None:
    await scene.joined("x", "y")
    await scene.runtime.take(FakeFetch(0, 0, 1, [FakeMessage(0, headers=(("fanout-redriven-for", b"a/t/x"),))]))
    x = await scene.of("x")
    assert (await scene.ack(x)).acked == 1
    await until(lambda: scene.runtime.committable().get(0) == 1)
