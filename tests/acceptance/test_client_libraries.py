"""What every client library has to do, each as a process of its own with real workers: the same tests for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from support.eventually import eventually
from support.kafka import Kafka
from support.losing import losing_answers
from support.programs import LIBRARIES, Programs, script
from support.workers import Worker, Workers

#: Each at a worker with Kafka. The HTTP of one with a topic in memory is the same, and one library shows that.
PLACES = [
    pytest.param((library, kind), id=f"{kind}-{library}", marks=[pytest.mark.long] * (kind == "memory" and n > 0))
    for n, library in enumerate(LIBRARIES)
    for kind in ("kafka", "memory")
]


@pytest.fixture(params=PLACES)
def where(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A library, and where its messages come from."""
    library, kind = request.param
    return library, kind


@pytest.fixture
def programs(where: tuple[str, str], tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(where[0], tmp_path)
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


@pytest.fixture
async def place(where: tuple[str, str], kafka: Kafka, workers: Workers, session: aiohttp.ClientSession) -> Place:
    if where[1] == "memory":
        return Place(await workers.start("memory", memory=True), session, None)
    return Place(await workers.start(await kafka.new_topic(1)), session, kafka)


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
