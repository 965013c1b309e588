"""Guards in a worker: at the leader over all workers, alone where nobody leads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from fanout_app import guarding as module
from fanout_app.canary import Change
from fanout_app.core.canary import CanaryState, Guard, Wanted, put
from fanout_app.core.errors import OutdatedError
from fanout_app.core.following import Leader
from fanout_app.core.windows import Windows
from fanout_app.guarding import Guarding, Part
from fanout_app.tasks import Tasks
from support.eventually import eventually

GUARDED = put(CanaryState(), Wanted(weights={"stable": 95, "canary": 5}, guard=Guard(window_ms=1000)))


class World:
    """A worker, and another one that has counted something, too."""

    def __init__(self) -> None:
        self.state = CanaryState()
        self.leads = False
        self.led = True
        self.others: dict[str, Any] = {}
        self.windows = Windows()
        self.shared: list[Mapping[str, int]] = []
        self.asked: list[list[str]] = []
        self.outdated = False
        self.faults: list[BaseException] = []
        self.tasks = Tasks(self.faults.append)
        self.guarding = Guarding(
            cast(Any, self), self, self.windows, cast(Any, SimpleNamespace(ask_all=self._ask_all)), self.tasks,
            share=self.shared.append,
        )  # fmt: skip

    # As the other parts that it needs --------------------------------------------------------------------------------

    def leader(self) -> Leader | None:
        return Leader(worker="w", address="http://w", epoch=1) if self.led else None

    def may_change(self) -> bool:
        return self.leads

    async def change(self, change: Change, tags: list[str]) -> None:
        self.asked.append(tags)
        if self.outdated:
            raise OutdatedError("somebody was faster")
        state = change(self.state)
        assert state is not None
        self.hold(state)

    async def _ask_all(self, what: str) -> dict[str, Any]:
        assert what == module.QUESTION
        return self.others

    # What a test does ------------------------------------------------------------------------------------------------

    def hold(self, state: CanaryState) -> None:
        self.state = state
        self.guarding.heard(state)

    def fail(self, windows: Windows, group: str = "canary", failures: int = 15) -> None:
        windows.acked(group, 0.01, 5, monotonic())
        windows.nacked(group, failures, monotonic())

    def other(self) -> Windows:
        """Another worker's, as it comes over the wire when it is told."""
        windows = Windows()
        windows.use(module.lengths_of(self.state), [], monotonic())
        return windows

    def tell(self, name: str, windows: Windows, heard: CanaryState | None = None) -> None:
        """``heard`` is what this other worker has heard of last, by default what holds."""
        part = Part(windows.tallies(monotonic()), windows.totals, {}, (heard or self.state).tag)
        self.others[name] = msgspec.msgpack.decode(msgspec.msgpack.encode(part))


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "_EVERY", 0.01)
    world = World()
    yield world
    await world.tasks.stop()
    assert world.faults == []


async def looked(world: World, times: int = 3) -> None:
    """It has looked some more."""
    for _ in range(times):
        await asyncio.sleep(0.02)


async def test_the_leader_adds_up_what_all_have_counted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.leads = True
    world.hold(GUARDED)
    world.fail(world.windows, failures=5)
    await looked(world)
    assert world.asked == [], "ten are too few to tell"
    elsewhere = world.other()
    world.fail(elsewhere, failures=5)
    world.tell("other", elsewhere)
    world.others["silent"] = None
    world.others["newer"] = {"groups": 7}
    await eventually(lambda: world.asked, every=0.01)
    assert world.asked == [[GUARDED.tag]]
    assert world.state.weights["canary"] == 0
    assert "canary: rolled back: 10 of 20 failed" in caplog.text
    assert world.guarding.decided["rolled back"] == 1
    await looked(world)
    assert len(world.asked) == 1, "once"


async def test_who_does_not_lead_decides_nothing(world: World) -> None:
    world.hold(GUARDED)
    world.fail(world.windows)
    await looked(world)
    assert (world.asked, world.shared) == ([], [])


async def test_who_was_outdated_says_nothing_of_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.leads = world.outdated = True
    world.hold(GUARDED)
    world.fail(world.windows)
    await eventually(lambda: world.asked, every=0.01)
    assert "rolled back" not in caplog.text
    assert not world.guarding.decided


async def test_what_a_group_did_with_another_weight_says_nothing_of_it(world: World) -> None:
    world.hold(GUARDED)
    world.fail(world.windows)
    world.hold(put(GUARDED, Wanted(weights={"stable": 90, "canary": 10}, guard=Guard(window_ms=1000))))
    world.leads = True
    await looked(world)
    assert world.asked == []


async def test_who_has_not_heard_yet_of_the_weight_has_counted_for_another_one(world: World) -> None:
    """A person gives a repaired group its weight again: a worker that is late still tells of the failures of before."""
    world.leads = True
    world.hold(GUARDED)
    late = world.other()
    world.fail(late)
    world.tell("late", late, GUARDED)
    world.hold(put(GUARDED, Wanted(weights={"stable": 90, "canary": 10}, guard=Guard(window_ms=1000))))
    await looked(world)
    assert world.asked == []
    anew = world.other()
    world.fail(anew)
    world.tell("late", anew)
    await eventually(lambda: world.asked, every=0.01)


async def test_what_concerns_another_group_does_not_begin_anew(world: World) -> None:
    weights = {"stable": 80, "a": 10, "b": 10}
    state = put(CanaryState(), Wanted(weights=weights, group="a", guard=Guard(window_ms=1000)))
    world.hold(state)
    world.fail(world.windows, "a")
    world.hold(put(state, Wanted(weights={**weights, "b": 20}, group="b")))
    world.leads = True
    await eventually(lambda: world.asked, every=0.01)
    assert world.state.weights == {"stable": 80, "a": 0, "b": 20}


class TestAlone:
    async def test_where_nobody_leads_a_failing_group_is_taken_out_here(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.hold(GUARDED)
        world.led = False
        world.fail(world.windows)
        await eventually(lambda: world.shared, every=0.01)
        assert world.shared == [{"stable": 95, "canary": 0}]
        assert world.state == GUARDED, "it holds here alone"
        assert world.guarding.part().held.keys() == {"canary"}
        assert "15 of 20 failed" in world.guarding.reasons()[0]
        assert caplog.text.count("takes group canary out alone") == 1

    async def test_nobody_is_left_with_nothing(self, world: World) -> None:
        world.hold(put(CanaryState(), Wanted(weights={"stable": 0, "canary": 100}, guard=Guard(window_ms=1000))))
        world.led = False
        world.fail(world.windows)
        await eventually(lambda: world.shared, every=0.01)
        assert world.shared == [{"stable": 100}]

    async def test_it_ends_when_somebody_has_led_for_a_window(self, world: World) -> None:
        world.hold(GUARDED)
        world.led = False
        world.fail(world.windows)
        await eventually(lambda: world.shared, every=0.01)
        world.led = True
        back = monotonic()
        await eventually(lambda: len(world.shared) == 2, 5.0, every=0.01)
        assert monotonic() - back >= 1.0
        assert world.shared[-1] == GUARDED.weights
        assert world.guarding.reasons() == []

    async def test_it_ends_with_the_next_version(self, world: World) -> None:
        world.hold(GUARDED)
        world.led = False
        world.fail(world.windows)
        await eventually(lambda: world.shared, every=0.01)
        world.hold(put(GUARDED, Wanted(weights={"stable": 50, "canary": 50})))
        assert world.guarding.held == {}
        assert world.shared[-1] == {"stable": 50, "canary": 50}

    async def test_who_does_well_is_left_alone_and_nobody_is_raised(self, world: World) -> None:
        steps = Wanted(weights={"stable": 95, "canary": 5}, guard=Guard(window_ms=1000), steps=())
        world.hold(put(CanaryState(), steps))
        world.led = False
        world.windows.acked("canary", 0.01, 100, monotonic())
        await looked(world)
        assert world.shared == []
