"""The shares in a worker that leads, or thinks so, on a board that does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from fanout_app.canary import Canary
from fanout_app.core.canary import CanaryState, Wanted, put
from fanout_app.core.canary_row import CanaryRecord, decode_canary, encode_canary
from fanout_app.core.errors import OutdatedError, UnavailableError
from fanout_app.core.following import Leader
from fanout_app.ports import SourceError
from support.eventually import eventually

WISH = Wanted(weights={"stable": 90, "canary": 10})


@dataclass
class World:
    """The election, and a board that tells at once, later, or never."""

    epoch: int | None = 5
    takes: bool = True
    tells: bool = True
    written: list[CanaryRecord] = field(default_factory=list)
    applied: list[CanaryState] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.canary = Canary("i", "t", self, self.write, apply=self.applied.append, on_fault=self.faults.append)
        self.canary.caught_up()

    @property
    def acting_in(self) -> int | None:
        return self.epoch

    def leader(self) -> Leader | None:
        return None if self.epoch is None else self._leader(self.epoch)

    @staticmethod
    def _leader(epoch: int) -> Leader:
        return Leader(worker="me", address="http://me", epoch=epoch)

    def announced(self) -> None:
        """The record in which this worker says that it leads was read back."""
        assert self.epoch is not None
        self.canary.hear_leader(self._leader(self.epoch), me=True)

    async def write(self, key: str, value: bytes) -> None:
        assert key == "canary"
        if not self.takes:
            raise SourceError("away")
        self.written.append(decode_canary(value, id="i", topic="t"))
        if self.tells:
            self.canary.hear(value)

    def hear(self, epoch: int, version: int, **weights: int) -> None:
        state = CanaryState(version=version, made_in=epoch, weights=weights)
        self.canary.hear(encode_canary(CanaryRecord(epoch, state), id="i", topic="t"))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.canary.stop()
    assert world.faults == []


async def test_a_change_holds_when_it_was_read_back(world: World) -> None:
    world.announced()
    record = await world.canary.change(lambda state: put(state, WISH), None)
    assert record == CanaryRecord(5, world.canary.state) == world.written[-1]
    assert (record.state.version, record.state.made_in, record.state.tag) == (1, 5, "5-1")
    assert [state.weights for state in world.applied] == [WISH.weights]


async def test_one_that_has_not_read_that_it_leads_may_not_know_what_was_answered_before(world: World) -> None:
    with pytest.raises(UnavailableError):
        await world.canary.change(lambda state: put(state, WISH), None)
    world.announced()
    world.epoch = 6
    with pytest.raises(UnavailableError):
        await world.canary.change(lambda state: put(state, WISH), None)
    assert world.written == []


async def test_of_what_kafka_does_not_take_the_outcome_is_unknown(world: World) -> None:
    world.announced()
    world.takes = False
    with pytest.raises(UnavailableError, match="unknown"):
        await world.canary.change(lambda state: put(state, WISH), None)
    assert world.applied == []


async def test_of_what_is_not_read_back_the_outcome_is_unknown_and_its_version_is_not_used_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanout_app.canary._READ_BACK_IN", 0.02)
    world.announced()
    world.tells = False
    with pytest.raises(UnavailableError, match="unknown"):
        await world.canary.change(lambda state: put(state, WISH), None)
    world.tells = True
    record = await world.canary.change(lambda state: put(state, Wanted(weights={"stable": 1})), ["0-0"])
    assert record.state.version == 2
    late = world.written[0]
    world.hear(late.epoch, late.state.version, stable=90, canary=10)
    assert world.canary.state.weights == {"stable": 1}, "it comes too late"


async def test_who_leads_no_more_when_it_is_read_back_does_not_answer(world: World) -> None:
    world.announced()
    world.tells = False
    change = asyncio.create_task(world.canary.change(lambda state: put(state, WISH), None))
    await eventually(lambda: world.written, every=0.001)
    world.epoch = None
    world.canary.hear(encode_canary(world.written[0], id="i", topic="t"))
    with pytest.raises(UnavailableError):
        await change


async def test_a_change_of_another_version_is_refused(world: World) -> None:
    world.announced()
    await world.canary.change(lambda state: put(state, WISH), ["0-0"])
    with pytest.raises(OutdatedError, match="5-1"):
        await world.canary.change(lambda state: put(state, WISH), ["0-0", "4-1"])
    await world.canary.change(lambda state: put(state, WISH), ["x", "5-1"])
    assert world.canary.state.version == 2


async def test_changes_are_made_one_after_the_other(world: World) -> None:
    world.announced()
    changes = [world.canary.change(lambda state: put(state, WISH), ["0-0"]) for _ in range(5)]
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["CanaryRecord", *["OutdatedError"] * 4]


async def test_what_a_leader_of_before_writes_late_is_ignored_and_written_over(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.hear(4, 7, stable=80, canary=20)
    world.announced()
    world.canary.start()
    await eventually(lambda: world.written, every=0.01)
    held = CanaryRecord(5, world.canary.state)
    assert world.written == [held], "it makes what holds its own"
    world.hear(4, 8, stable=0, canary=100)
    assert world.canary.state.weights == {"stable": 80, "canary": 20}
    await eventually(lambda: len(world.written) == 2, every=0.01)
    assert world.written == [held, held]
    assert "a worker that leads no more has written version 4-8" in caplog.text


async def test_what_cannot_be_read_is_left_out(world: World) -> None:
    world.canary.hear(b"\x07nonsense")
    world.canary.hear(None)
    assert world.applied == []


async def test_what_the_leader_answers_holds_here_before_it_is_read(world: World) -> None:
    world.hear(5, 3, stable=1)
    told = CanaryRecord(5, CanaryState(version=4, made_in=5, weights={"stable": 2}))
    world.canary.answered(told)
    assert world.canary.state.weights == {"stable": 2}
    world.canary.answered(CanaryRecord(5, CanaryState(version=3, made_in=5, weights={"stable": 3})))
    world.hear(5, 4, stable=2)
    assert [state.weights for state in world.applied] == [{"stable": 1}, {"stable": 2}], "once"


class TestStart:
    @staticmethod
    def row(epoch: int, version: int, **weights: int) -> bytes:
        state = CanaryState(version=version, made_in=epoch, weights=weights)
        return encode_canary(CanaryRecord(epoch, state), id="i", topic="t")

    async def test_what_stood_there_is_gone_through_without_being_done(self, caplog: pytest.LogCaptureFixture) -> None:
        """Else a group would be handed messages for a weight that it had weeks ago."""
        applied: list[CanaryState] = []
        world = World()
        canary = Canary("i", "t", world, world.write, apply=applied.append, on_fault=world.faults.append)
        canary.was(self.row(3, 9, stable=100, canary=0))
        assert [state.weights for state in applied] == [{"stable": 100, "canary": 0}], "before anything is read"
        for version in range(1, 10):
            canary.hear(self.row(3, version, stable=100, canary=50 if version < 9 else 0), live=False)
        canary.hear(self.row(2, 99, stable=0, canary=100), live=False)
        canary.hear_leader(World._leader(3), me=False)
        assert len(applied) == 1
        canary.caught_up()
        assert len(applied) == 1, "it holds already"
        assert caplog.text == ""

    async def test_what_was_written_late_and_found_first_does_not_hold_when_all_is_read(self) -> None:
        applied: list[CanaryState] = []
        world = World()
        canary = Canary("i", "t", world, world.write, apply=applied.append, on_fault=world.faults.append)
        late = self.row(2, 4, stable=0, canary=100)
        canary.was(late)
        canary.hear(self.row(3, 4, stable=1), live=False)
        canary.hear(late, live=False)
        assert not canary.may_change(), "who has not read all of it cannot lead"
        canary.caught_up()
        assert applied[-1].weights == {"stable": 1} == canary.state.weights
