"""An id that was run with ``--delivery balance`` and is started with broadcast, and the other way round."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.requests import Settle, Status
from unit.fake_ports import until
from unit.scene import Scene, entries, offsets
from unit.test_broadcast import TTL, Broadcasting

WINDOW = 10
S = TypeVar("S", bound=Scene)


class Stage:
    """One id, by one worker after another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in (("ID", "a"), ("TOPIC", "t"), ("CLIENT_TTL", f"{TTL}s")):
            monkeypatch.setenv(f"FANOUT_{name}", value)
        self._monkeypatch = monkeypatch
        self._limits = replace(Limits(), client_ttl=TTL, max_ack_pending=WINDOW)
        self._last: Scene | None = None

    async def balance(self) -> Scene:
        return await self._enter(Scene, "balance")

    async def broadcast(self) -> Broadcasting:
        return await self._enter(Broadcasting, "broadcast")

    async def _enter(self, kind: type[S], delivery: str) -> S:
        self._monkeypatch.setenv("FANOUT_DELIVERY", delivery)
        rows, slots = await self.leave()
        scene = kind(self._limits)
        scene.kafka.rows, scene.kafka.slot_rows = rows, slots
        await scene.own(0)
        self._last = scene
        return scene

    async def leave(self) -> tuple[Any, Any]:
        """The worker stops; answers what is in the changelog then."""
        last, self._last = self._last, None
        if last is None:
            return {}, {}
        last.terms.begin_rebalance()
        await last.runtime.give_up()
        await last.stop()
        return last.kafka.rows, last.kafka.slot_rows


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    stage = Stage(monkeypatch)
    yield stage
    await stage.leave()


async def test_what_was_acked_above_the_floor_comes_to_no_group(stage: Stage) -> None:
    scene = await stage.balance()
    await scene.arrive(*range(4))
    answer = await scene.answer("A", 4)
    await scene.runtime.settle(Settle(ack=[entries(answer)[0], entries(answer)[2]]))
    after = await stage.broadcast()
    await after.joined("x", "y")
    await after.arrive(*range(1, 5))
    assert await after.get("x") == await after.get("y") == [1, 3, 4]
    assert after.floor() == 1


async def test_what_was_acked_above_the_floor_comes_to_no_group_of_an_earlier_time_of_broadcast(stage: Stage) -> None:
    await (await stage.broadcast()).joined("x")
    scene = await stage.balance()
    await scene.arrive(*range(4))
    answer = await scene.answer("A", 4)
    await scene.runtime.settle(Settle(ack=[entries(answer)[0], entries(answer)[2]]))
    after = await stage.broadcast()
    await after.joined("x")
    await after.arrive(*range(after.runtime.dispatcher.partitions[0].next_offset, 4))
    assert [at for at in await after.get("x") if at > 0] == [1, 3]


async def test_a_window_full_of_leases_of_balance_stops_no_group(stage: Stage) -> None:
    scene = await stage.balance()
    await scene.arrive(*range(WINDOW))
    leased = await scene.answer("A", WINDOW)
    assert offsets(leased) == [*range(WINDOW)]
    after = await stage.broadcast()
    await after.joined("x")
    await until(lambda: after.runtime.wants(0))
    await after.arrive(*range(WINDOW))
    assert await after.get("x") == [*range(WINDOW)]
    assert {status for _, status in (await after.ack(leased)).results} == {Status.LEASE_LOST}


async def test_back_in_balance_it_goes_on_where_the_slowest_group_stands(stage: Stage) -> None:
    scene = await stage.broadcast()
    await scene.joined("fast", "slow")
    await scene.arrive(*range(4))
    await scene.ack(await scene.of("fast"))
    await scene.ack(await scene.of("slow", 2))
    after = await stage.balance()
    assert after.runtime.dispatcher.partitions[0].next_offset == 2
    await after.arrive(2, 3)
    assert await after.pull("A", 9) == [2, 3]
