"""Client libraries with several workers, some of which are killed, or are not there. Alone: `test_client_libraries`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.eventually import eventually
from support.kafka import Kafka
from support.programs import LIBRARIES, Programs, script
from support.workers import READY_TOGETHER, Workers


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def programs(library: str, tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(library, tmp_path)
    yield programs
    programs.close()


@pytest.mark.parametrize("library", [pytest.param("threads", marks=pytest.mark.long), "asyncio", "go"])
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
