"""What every client library has to do, each as a process of its own with real workers: the same tests for all."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.eventually import eventually
from support.kafka import Kafka
from support.losing import losing_answers
from support.programs import LIBRARIES, Programs
from support.workers import READY_TOGETHER, Worker, Workers


@pytest.fixture(params=LIBRARIES)
def programs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(request.param, tmp_path)
    yield programs
    programs.close()


class Place:
    """Where messages come from: a cluster of one worker with Kafka, or a worker with a topic in memory."""

    def __init__(self, worker: Worker, session: aiohttp.ClientSession, kafka: Kafka | None) -> None:
        self.worker = worker
        self.url = worker.url
        #: Messages that a handler is given at once, where that makes no difference.
        self.batch = 1 if kafka is None else 10
        self._session = session
        self._kafka = kafka

    async def produce(self, *texts: str) -> None:
        if self._kafka is not None:
            await self._kafka.produce(self.worker.topic, *texts)
            return
        body = {"messages": [{"value": text} for text in texts]}
        async with self._session.post(f"{self.url}/v1/produce", json=body) as response:
            assert response.status == 200, await response.text()

    async def has_settled(self, count: int) -> bool:
        """All of the first so many messages."""
        async with self._session.get(f"{self.url}/v1/partitions") as response:
            (row,) = (await response.json())["partitions"]
        return bool(row["floor"] == count)


@pytest.fixture(params=["kafka", "memory"])
async def place(
    request: pytest.FixtureRequest, kafka: Kafka, workers: Workers, session: aiohttp.ClientSession
) -> Place:
    if request.param == "memory":
        return Place(await workers.start("memory", memory=True), session, None)
    return Place(await workers.start(await kafka.new_topic(1)), session, kafka)


def script(n: int, **says: Any) -> str:
    return json.dumps({"n": n, **says})


async def test_what_a_handler_returns_from_is_settled(place: Place, programs: Programs) -> None:
    await place.produce(*(script(n) for n in range(50)))
    program = programs.start(place.url, concurrency=4, batch=place.batch)

    await eventually(lambda: place.has_settled(50))

    assert program.ended() == Counter(range(50)), "each once"
    assert await program.stop() == 0
    assert "Traceback" not in program.log()


async def test_what_it_fails_comes_again_and_what_it_rejects_does_not(
    place: Place, programs: Programs, session: aiohttp.ClientSession
) -> None:
    await place.produce(script(0, then=["fail", "ok"]),
        script(1, then="reject"),
        script(2, then=["nack", "ok"], delay=1.0),
        script(3),
    )  # fmt: skip
    program = programs.start(place.url, batch=place.batch)

    await eventually(lambda: place.has_settled(4))

    assert program.began() == {0: 2, 1: 1, 2: 2, 3: 1}
    assert program.ended("fail") == program.ended("nack") + Counter([0]) - Counter([2]) == Counter([0])
    async with session.get(f"{place.url}/v1/parked") as response:
        (parked,) = (await response.json())["messages"]
    assert parked["reason"] == "as it was told"


async def test_a_handler_that_takes_longer_than_a_lease_has_its_message_to_itself(
    place: Place, programs: Programs
) -> None:
    await place.produce(*(script(n, **{"for": 4.0}) for n in range(3)))
    first = programs.start(place.url, ack_wait=1.0, concurrency=3, name="first")
    await eventually(lambda: first.began().total() == 3)
    programs.start(place.url, ack_wait=1.0, name="second")

    await eventually(lambda: place.has_settled(3))

    assert programs.began() == {0: 1, 1: 1, 2: 1}
    assert first.ended().total() == 3


async def test_an_answer_that_is_lost_on_the_way_is_not_waited_out(place: Place, programs: Programs) -> None:
    async with losing_answers(place.url, times=1) as (url, lost):
        program = programs.start(url, ack_wait=600.0)
        await eventually(lambda: place.worker.has_waiting(1))
        await place.produce(script(0))

        await eventually(lambda: place.has_settled(1), 15.0)

        assert lost.is_set()
        assert [event.delivery for event in program.events()] == [1, 1], "begun and ended, delivered once"


async def test_asked_to_end_it_brings_to_an_end_what_it_has_and_settles_that(place: Place, programs: Programs) -> None:
    await place.produce(*(script(n, **{"for": 2.0}) for n in range(2)))
    program = programs.start(place.url, concurrency=4, ack_wait=600.0)
    await eventually(lambda: program.began().total() == 2)

    assert await program.stop() == 0

    assert program.ended() == {0: 1, 1: 1}
    assert (await place.worker.status())["in_flight"] == 0
    await eventually(lambda: place.has_settled(2), 2.0)
    # It has taken nothing of what came later.
    await place.produce(script(2))
    other = programs.start(place.url)
    await eventually(lambda: place.has_settled(3), 8.0)
    assert other.ended() == {2: 1}


async def test_nothing_is_lost_while_workers_are_killed_and_started_again(
    kafka: Kafka, workers: Workers, programs: Programs
) -> None:
    count = 600
    topic = await kafka.new_topic(4)
    running = [workers.launch(topic) for _ in range(3)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in running))
    addresses = [worker.url for worker in running]
    for _ in range(3):
        programs.start(*addresses, concurrency=4, ack_wait=3.0)
    for number in range(4):
        await kafka.produce(topic, *(script(n, **{"for": 0.05}) for n in range(number, count, 4)), partition=number)
    for victim in (0, 1):
        done = programs.ended().total()
        await eventually(lambda done=done: programs.ended().total() > done + 60, 40.0)  # type: ignore[misc]
        running[victim].kill9()
        running[victim] = workers.again(running[victim])

    await eventually(lambda: len(programs.ended()) == count, 90.0)

    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in running))
    ends = {number: count // 4 for number in range(4)}
    await eventually(lambda: kafka.has_committed("service", topic, ends), 40.0)
    repeated = programs.ended().total() - count
    assert repeated <= count // 10, f"{repeated} of {count} messages came more than once"


async def test_it_goes_on_at_another_worker_and_comes_back(kafka: Kafka, workers: Workers, programs: Programs) -> None:
    topic = await kafka.new_topic(1)
    first = await workers.start(topic)
    program = programs.start("http://127.0.0.1:1", first.url)
    await kafka.produce(topic, script(0))
    await eventually(lambda: program.ended() == {0: 1})
