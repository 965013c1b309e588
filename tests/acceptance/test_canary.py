"""Shares of groups, set at one worker and in effect at all of them: by version, durably, by the leader alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count as numbers
from time import monotonic

import aiohttp
import pytest
import pytest_asyncio

from support.canary import Shares
from support.eventually import eventually
from support.kafka import Kafka
from support.leaders import Leaders
from support.stack import Stack
from support.workers import READY_TOGETHER, Worker, Workers

#: What is promised for a change to be in effect at all workers.
EVERYWHERE_IN = 2.0


async def everywhere(shares: Shares, workers: Sequence[Worker], weights: dict[str, int]) -> None:
    """Wait until all of these have these weights; fails if that takes longer than is promised."""

    async def all_have() -> bool:
        return all([await shares.weights(worker) == weights for worker in workers])

    await eventually(all_have, EVERYWHERE_IN, every=0.02)


@pytest.fixture
def shares(session: aiohttp.ClientSession) -> Shares:
    return Shares(session)


@pytest.fixture(scope="module")
def launched(
    stack: Stack, session: aiohttp.ClientSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    workers = Workers(stack.brokers, tmp_path_factory.mktemp("canary"), session)
    yield workers
    workers.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three(launched: Workers, stack: Stack, kafka: Kafka, session: aiohttp.ClientSession) -> Leaders:
    return Leaders(session, await started(launched, stack, await kafka.new_topic(6), 3))


async def started(workers: Workers, stack: Stack, topic: str, count: int) -> list[Worker]:
    launched = [workers.launch(topic, zookeepers=stack.zookeepers) for _ in range(count)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in launched))
    return launched


async def test_a_change_holds_at_all_workers_within_two_seconds_whichever_was_asked(
    three: Leaders, shares: Shares
) -> None:
    await three.settled(READY_TOGETHER)
    for number, asked in enumerate(three.workers):
        weights = {"stable": 90 - number, "canary": 10 + number}
        status, tag, body = await shares.put(asked, weights)
        began = monotonic()
        assert (status, body["weights"]) == (200, weights)
        assert await shares.weights(asked) == weights, "who was asked knows it when it answers"
        await everywhere(shares, three.workers, weights)
        assert {(await shares.ask(worker, "GET"))[1] for worker in three.workers} == {tag}
        assert monotonic() - began < EVERYWHERE_IN


async def test_of_two_changes_of_one_version_at_two_workers_one_is_refused(three: Leaders, shares: Shares) -> None:
    await three.settled(READY_TOGETHER)
    for _ in range(5):
        _, tag, _ = await shares.put(three.workers[0], {"stable": 1})
        a, b = await asyncio.gather(
            shares.put(three.workers[1], {"stable": 60, "a": 40}, tag),
            shares.put(three.workers[2], {"stable": 70, "b": 30}, tag),
        )
        assert sorted([a[0], b[0]]) == [200, 412]
        won, lost = (a, b) if a[0] == 200 else (b, a)
        assert lost[2]["type"] == "urn:fanout:problem:precondition-failed"
        assert (await shares.ask(three.workers[0], "PUT", json={}, headers={"If-Match": tag}))[0] == 412
        await everywhere(shares, three.workers, won[2]["weights"])


async def test_what_was_answered_holds_when_the_leader_is_killed_in_the_next_moment(
    three: Leaders, shares: Shares
) -> None:
    said = await three.settled(READY_TOGETHER)
    weights = {"stable": 77, "canary": 23}
    status, tag, _ = await shares.put(said.by, weights)
    assert status == 200
    said.by.kill9()
    left = [worker for worker in three.workers if worker is not said.by]
    status, _, problem = await shares.put(left[0], {"stable": 1})
    assert (status, problem["type"]) == (503, "urn:fanout:problem:kafka-unreachable"), "nobody leads yet"
    await three.settled(20.0, said.by)
    for worker in left:
        assert await shares.weights(worker) == weights
        assert (await shares.ask(worker, "GET"))[1] == tag

    async def taken() -> bool:
        # Of the version that was answered: a leader that does not know it refuses this.
        await shares.put(left[1], {"stable": 50, "canary": 50}, tag)
        return await shares.weights(left[1]) == {"stable": 50, "canary": 50}

    await eventually(taken, 20.0, every=0.2)
    await everywhere(shares, left, {"stable": 50, "canary": 50})


async def test_a_change_in_the_middle_of_which_the_leader_is_killed_holds_or_never_was(
    three: Leaders, shares: Shares, session: aiohttp.ClientSession
) -> None:
    """Changes follow one another without a pause, so the leader is at one of them whenever it dies."""
    dead = [worker for worker in three.workers if not worker.runs]
    said = await three.settled(READY_TOGETHER, *dead)
    asked: list[dict[str, int]] = []
    answered: list[dict[str, int]] = []
    (other,) = [worker for worker in three.workers if worker.runs and worker is not said.by]

    async def change_on() -> None:
        for number in numbers(1):
            asked.append({"stable": 1000, "canary": number})
            if (await shares.put(other, asked[-1])).status != 200:
                return
            answered.append(asked[-1])

    async with asyncio.TaskGroup() as group:
        changing = group.create_task(change_on())
        await eventually(lambda: len(answered) >= 3 or changing.done(), 20.0, every=0.005)
        said.by.kill9()
    assert len(answered) >= 3, "it was killed while changes went well"
    async with session.put(f"{other.url}/v1/canary", json={}, headers={"If-Match": "*"}) as refused:
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1"), "nobody leads yet"
    await three.settled(20.0, *dead, said.by)
    held = await shares.weights(other)
    assert held in (answered[-1], asked[-1])

    async def taken() -> bool:
        return (await shares.ask(other, "POST", "/rollback", json={})).status == 200

    await eventually(taken, 20.0, every=0.1)
    assert await shares.weights(other) == {**held, "canary": 0}, "it was still what the next change was made of"


async def test_what_holds_outlasts_all_workers_and_all_weights_can_be_zero(
    three: Leaders, launched: Workers, stack: Stack, shares: Shares, session: aiohttp.ClientSession
) -> None:
    """All are killed; those of the next start know of nothing but the board."""
    (left,) = [worker for worker in three.workers if worker.runs]
    _, tag, before = await shares.ask(left, "GET")
    assert before["groups"]["canary"]["verdict"] == "rolled-back"
    left.kill9()
    anew = Leaders(session, await started(launched, stack, left.topic, 2))
    for worker in anew.workers:
        _, tag_now, after = await shares.ask(worker, "GET")
        assert (tag_now, after["weights"], after["version"]) == (tag, before["weights"], before["version"])
        assert after["groups"]["canary"]["verdict"] == "rolled-back"
    said = await anew.settled(READY_TOGETHER)
    (other,) = [worker for worker in anew.workers if worker is not said.by]

    async def taken() -> bool:
        await shares.put(other, {"stable": 0, "canary": 0}, tag)
        return await shares.weights(other) == {"stable": 0, "canary": 0}

    await eventually(taken, 20.0, every=0.1)
    await everywhere(shares, anew.workers, {"stable": 0, "canary": 0})
    for worker in anew.workers:
        for group in ("stable", "canary"):
            pull = {"client": "ann", "group": group, "wait_ms": 0}
            async with session.post(f"{worker.url}/v1/pull", json=pull) as empty:
                assert (empty.status, empty.headers["Fanout-Empty"]) == (204, "weight-zero")
