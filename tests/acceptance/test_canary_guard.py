"""A canary that does badly is taken out by itself, whichever way it does badly; one that does well is raised."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from support.canary import Shares
from support.clients import Delivery
from support.eventually import eventually
from support.fleets import Fleet, Handle, Outcome, well
from support.kafka import Kafka
from support.leaders import Leaders
from support.stack import Stack
from support.workers import READY_TOGETHER, ShowLogs, Worker, Workers

PARTITIONS = 6
#: Messages a second.
RATE = 300.0
#: Seconds. So many samples that there is a share to be measured before it is out.
WINDOW = 10.0
GUARD = {"window_ms": 10_000, "min_samples": 100}
CLIENT_TTL = 2.0
#: Seconds on top of what is promised, for a busy machine.
ALLOWANCE = 2.0


class Stage:
    """Three workers, and clients of two groups."""

    def __init__(self, workers: Workers, leaders: Leaders, session: aiohttp.ClientSession, kafka: Kafka) -> None:
        self.workers = workers
        self.leaders = leaders
        self.shares = Shares(session)
        self._session = session
        self._kafka = kafka
        self.topic = ""

    @property
    def one(self) -> Worker:
        return self.leaders.workers[0]

    def launch(self, zookeepers: str) -> Worker:
        return self.workers.launch(self.topic, zookeepers=zookeepers, client_ttl=f"{CLIENT_TTL:.0f}s")

    @asynccontextmanager
    async def canary(
        self, handle: Handle, *, canaries: int = 4, rate: float = RATE, **options: Any
    ) -> AsyncIterator[Fleet]:
        """Six clients of stable that do well, and some canaries; everything that is produced is acked at the end."""
        async with self.fleet(rate) as fleet, fleet.working("canary", canaries, handle, **options):
            yield fleet

    @asynccontextmanager
    async def fleet(self, rate: float = RATE) -> AsyncIterator[Fleet]:
        """The clients of stable alone."""
        await self.leaders.settled(READY_TOGETHER)
        await self.shares.set(self.one, {"stable": 100})
        fleet = Fleet(self._session, self.leaders.workers)
        async with fleet.working("stable", 6, quickly):
            async with fleet.fed(self._kafka, self.topic, PARTITIONS, rate=rate):
                await eventually(lambda: len(fleet.tried) > 20, 20.0, every=0.02)
                yield fleet
            await eventually(lambda: not fleet.missing(), 20.0, every=0.05)

    async def weight(self) -> int:
        return (await self.shares.weights(self.one)).get("canary", 0)


async def quickly(message: Delivery) -> Outcome:
    await asyncio.sleep(0.002)
    return "acked"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(
    stack: Stack, kafka: Kafka, session: aiohttp.ClientSession, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    workers = Workers(stack.brokers, tmp_path_factory.mktemp("guard"), session)
    try:
        stage = Stage(workers, Leaders(session, []), session, kafka)
        stage.topic = await kafka.new_topic(PARTITIONS)
        stage.leaders.workers += [stage.launch(stack.zookeepers) for _ in range(3)]
        await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in stage.leaders.workers))
        yield stage
    finally:
        workers.close()


@pytest_asyncio.fixture
async def stage(running: Stage, show_logs: ShowLogs, stack: Stack) -> Stage:
    show_logs(running.workers)
    for worker in [worker for worker in running.leaders.workers if not worker.runs]:
        running.leaders.workers.remove(worker)
        running.leaders.workers.append(await running.launch(stack.zookeepers).ready())
    return running


def of_ten(failing: int, how: Outcome) -> Handle:
    """Of ten messages so many end so, by chance."""
    dice = random.Random(9)

    async def handle(message: Delivery) -> Outcome:
        return how if dice.randrange(10) < failing else "acked"

    return handle


async def slowly(message: Delivery) -> Outcome:
    await asyncio.sleep(0.25)
    return "acked"


@pytest.mark.parametrize(
    ("handle", "guard", "reason"),
    [
        pytest.param(of_ten(3, "nacked"), GUARD, "nacked", id="nacks three of ten"),
        pytest.param(of_ten(3, "left"), GUARD, "expired", id="lets three of ten expire", marks=pytest.mark.long),
        pytest.param(
            slowly,
            {**GUARD, "max_failure_ratio": None, "max_p99_over_stable": 5},
            "99 % of acks",
            id="is slow",
            marks=pytest.mark.long,  # where all is slow it is not slower than others by much
        ),
    ],
)
async def test_who_does_badly_is_out_within_a_window_and_stable_does_what_it_failed(
    stage: Stage, handle: Handle, guard: dict[str, Any], reason: str
) -> None:
    # As many as can take their share however long each is busy.
    async with stage.canary(handle, canaries=24, ack_wait_ms=500) as fleet:
        told = _said(stage.leaders.workers)
        began = monotonic()
        version = (await stage.shares.set(stage.one, {"stable": 80, "canary": 20}, guard=guard)).body["version"]
        await eventually(lambda: _is_out(stage), WINDOW + ALLOWANCE, every=0.02)
        out = monotonic()
        await asyncio.sleep(1.0)  # what would still go to it
        after = (await stage.shares.ask(stage.one, "GET")).body
    assert out - began < WINDOW + ALLOWANCE
    assert after["version"] == version + 1, "decided once"
    canary = after["groups"]["canary"]
    assert (canary["verdict"], canary["weight"]) == ("failing", 0)
    assert reason in canary["reason"]
    (new,) = set(_said(stage.leaders.workers)) - set(told)
    assert reason in new
    assert "WARNING" in new

    firsts = fleet.first_tries(began + 0.2, out - 0.2)
    share = sum(tried.group == "canary" for tried in firsts) / len(firsts)
    assert abs(share - 0.20) < 0.01, f"held up: {share:.3f} of {len(firsts)}"
    for place, deliveries in fleet.by_message().items():
        failed = [tried for tried in deliveries if tried.outcome != "acked"]
        assert len(failed) <= 1, (place, deliveries)
        assert not failed or (deliveries[-1].group, deliveries[-1].outcome) == ("stable", "acked"), (place, deliveries)
    late = [tried for tried in fleet.tried if tried.group == "canary" and tried.at > out + 0.5]
    assert late == []


async def _is_out(stage: Stage) -> bool:
    return await stage.weight() == 0


async def test_the_leader_is_killed_in_the_middle_of_the_decision(stage: Stage) -> None:
    async with stage.canary(of_ten(5, "nacked")) as fleet:
        leader = (await stage.leaders.settled(READY_TOGETHER)).by
        everybody = list(stage.leaders.workers)
        before = len(_said(everybody))
        set_at = await stage.shares.set(leader, {"stable": 80, "canary": 20}, guard=GUARD)
        began = monotonic()
        await eventually(lambda: _ended(fleet, began) > GUARD["min_samples"] - 30, 10.0, every=0.01)
        leader.kill9()
        stage.leaders.workers.remove(leader)
        await eventually(lambda: _is_out(stage), 25.0, every=0.05)
        await asyncio.sleep(1.5)
        for worker in stage.leaders.workers:
            state = (await stage.shares.ask(worker, "GET")).body
            assert state["version"] == set_at.body["version"] + 1, "decided once"
            assert state["groups"]["canary"]["verdict"] == "failing"
    # One that was killed between the write and the word has said nothing of it.
    assert len(_said(everybody)) - before <= 1


def _said(workers: list[Worker]) -> list[str]:
    return [line for worker in workers for line in worker.text().splitlines() if "canary: rolled back" in line]


def _ended(fleet: Fleet, since: float) -> int:
    return sum(tried.at > since and tried.group == "canary" for tried in fleet.tried)


async def test_steps_are_gone_through_by_themselves(stage: Stage) -> None:
    seen: list[int] = []
    steps = [{"weight": weight, "hold_ms": 500} for weight in (1, 5, 25, 100)]

    async def complete() -> bool:
        canary = await stage.shares.group(stage.one)
        if seen[-1:] != [canary["weight"]]:
            seen.append(canary["weight"])
        return bool(canary["verdict"] == "complete")

    async with stage.canary(well, rate=500):
        guard = {"window_ms": 10_000, "min_samples": 5}
        await stage.shares.set(stage.one, {"stable": 100, "canary": 0}, guard=guard, steps=steps)
        await eventually(complete, 30.0, every=0.02)
        assert seen == [1, 5, 25, 100]
        assert await stage.shares.weights(stage.one) == {"stable": 0, "canary": 100}


async def test_steps_end_with_a_bad_verdict(stage: Stage) -> None:
    good = True

    async def handle(message: Delivery) -> Outcome:
        return "acked" if good else "nacked"

    async with stage.canary(handle):
        guard = {"window_ms": 10_000, "min_samples": 5}
        steps = [{"weight": 10, "hold_ms": 500}, {"weight": 20, "hold_ms": 60_000}, {"weight": 100, "hold_ms": 500}]
        await stage.shares.set(stage.one, {"stable": 100}, group="canary", guard=guard, steps=steps)
        await eventually(lambda: _has(stage, 20), 15.0, every=0.02)
        good = False
        await eventually(lambda: _is_out(stage), 10.0 + ALLOWANCE, every=0.02)
        canary = await stage.shares.group(stage.one)
        assert (canary["verdict"], canary["step"]) == ("failing", 1)


async def _has(stage: Stage, weight: int) -> bool:
    return await stage.weight() == weight


async def test_when_who_was_promoted_leaves_stable_has_everything_within_the_ttl(stage: Stage) -> None:
    async with stage.fleet() as fleet:
        async with fleet.working("canary", 4, well, ack_wait_ms=1000):
            await stage.shares.set(stage.one, {"stable": 80, "canary": 20})
            promoted = (await stage.shares.ask(stage.one, "POST", "/promote")).body["weights"]
            assert promoted == {"stable": 0, "canary": 100}
            began = monotonic() + 1.0
            await eventually(lambda: _ended(fleet, began) > 200, 10.0, every=0.02)
            assert not [tried for tried in fleet.tried if tried.group == "stable" and tried.at > began]
        left = monotonic()
        first = await eventually(
            lambda: next((tried for tried in fleet.tried if tried.group == "stable" and tried.at > left), None),
            CLIENT_TTL + ALLOWANCE,
            every=0.02,
        )
        assert first is not None
        assert first.at > left + CLIENT_TTL / 2, "its share is its own for as long as somebody of it may come back"
        everything = first.at + 0.5
        await asyncio.sleep(1.0)
        assert {tried.group for tried in fleet.tried if tried.at > everything} == {"stable"}
