"""A worker that was told to stop: what it does in which order, alone and with others there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fanout_app import departure
from fanout_app.departure import Departure
from unit.fake_ports import until


class Scene:
    """The runtime and the group as the departure sees them; `done` is what it did, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.ready = True
        self.written = True
        self.others_there: Callable[[], bool] = lambda: False

    # Runtime
    def stop_begins(self) -> bool:
        self.done.append("not ready")
        return self.ready

    def send_home(self) -> None:
        self.done.append("pulls end")

    async def write_all(self) -> bool:
        self.done.append("settled written")
        return self.written

    async def give_up(self) -> None:
        self.done.append("last rows")

    def left_group(self, *, forget: bool) -> None:
        self.done.append("forgets" if forget else "keeps floors")

    # Group
    async def others(self) -> bool:
        return self.others_there()

    def leaving(self) -> None:
        self.done.append("owns nothing")

    async def leave(self) -> bool:
        self.done.append("leaves")
        return True


HANDED_OVER = ["settled written", "owns nothing", "last rows", "leaves", "forgets"]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(departure, "_LOOK_EVERY", 0.002)
    return Scene()


def departing(scene: Scene, drain: float) -> Departure:
    return Departure(scene, scene, drain=drain)  # type: ignore[arg-type]


async def test_alone_it_serves_for_the_whole_drain_and_hands_over_then(scene: Scene) -> None:
    assert await departing(scene, 0.02).go()
    assert scene.done == ["not ready", "pulls end", *HANDED_OVER]


async def test_with_others_there_it_hands_over_at_once_and_stays_for_the_drain(scene: Scene) -> None:
    scene.others_there = lambda: True
    going = asyncio.create_task(departing(scene, 5.0).go())
    await until(lambda: "forgets" in scene.done)
    assert scene.done == ["not ready", *HANDED_OVER]
    going.cancel()


async def test_its_pulls_end_after_the_drain_also_where_it_left_before(scene: Scene) -> None:
    scene.others_there = lambda: True
    assert await departing(scene, 0.02).go()
    assert scene.done == ["not ready", *HANDED_OVER, "pulls end"]


async def test_who_comes_in_the_middle_of_the_drain_takes_over(scene: Scene) -> None:
    asked = iter([False, False])
    scene.others_there = lambda: next(asked, True)
    going = asyncio.create_task(departing(scene, 5.0).go())
    await until(lambda: "forgets" in scene.done)
    assert "pulls end" not in scene.done
    going.cancel()


async def test_one_that_was_never_in_service_skips_the_drain(scene: Scene) -> None:
    scene.ready = False
    assert await departing(scene, 5.0).go()
    assert scene.done == ["not ready", "pulls end", *HANDED_OVER]


async def test_where_kafka_takes_no_rows_nobody_waits_for_the_group_and_it_is_told(scene: Scene) -> None:
    scene.written = False
    assert not await departing(scene, 0.0).go()
    assert scene.done[-3:] == ["owns nothing", "last rows", "keeps floors"]


async def test_whoever_asks_again_waits_for_the_same_departure(scene: Scene) -> None:
    one = departing(scene, 0.01)
    assert all(await asyncio.gather(one.go(), one.go()))
    assert await one.go()
    assert scene.done.count("leaves") == 1
