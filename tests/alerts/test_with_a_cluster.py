"""What only several workers can cause; and that they wake nobody at work, nor while they are restarted in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from alerts.scraping import WELL, once, scrape, value_of
from support.cable import Cable
from support.eventually import eventually
from support.fleets import Fleet
from support.kafka import Kafka
from support.leaders import Leaders
from support.promtool import Timeline
from support.stack import Stack, running_stack
from support.workers import READY_TOGETHER, Worker, Workers, reserve_port

PARTITIONS = 3
#: A session at ZooKeeper, the wait of who leads next, and a busy machine's allowance.
LED_WITHIN = 40.0
#: Messages acked between one scrape and the next.
MEANWHILE = 30
NAMES = ("a", "b", "c")


class Cluster:
    """Workers that are scraped by name, also those that are started again at their address."""

    def __init__(self, session: aiohttp.ClientSession, workers: Workers, running: list[Worker]) -> None:
        self._session = session
        self._workers = workers
        self.leaders = Leaders(session, running)

    @property
    def running(self) -> list[Worker]:
        return self.leaders.workers

    async def is_well(self) -> dict[str, bytes]:
        """What they say once each partition has an owner, one leads, each hears all and none has anything to say."""
        said: dict[str, bytes] = {}

        async def well() -> bool:
            nonlocal said
            said = {name: await scrape(self._session, one) for name, one in zip(NAMES, self.running, strict=False)}
            heard = [value_of(one, "workers") for one in said.values()]
            assert heard == [len(said)] * len(said), heard
            for name, value in (("owned_partitions", PARTITIONS), ("leading", 1), ("degraded", 0)):
                found = [value_of(one, name) for one in said.values()]
                assert sum(found) == value, (name, found)
            return True

        await eventually(well, LED_WITHIN)
        return said

    async def without(self, one: Worker) -> dict[str, bytes | None]:
        """What the others say while one does not answer."""
        return {
            name: None if worker is one else await scrape(self._session, worker)
            for name, worker in zip(NAMES, self.running, strict=False)
        }

    async def again(self, one: Worker) -> None:
        self.running[self.running.index(one)] = await self._workers.again(one).ready(READY_TOGETHER)


@pytest.fixture
async def three(workers: Workers, stack: Stack, kafka: Kafka, session: aiohttp.ClientSession) -> Cluster:
    topic = await kafka.new_topic(PARTITIONS)
    running = [workers.launch(topic, zookeepers=stack.zookeepers) for _ in NAMES]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in running))
    return Cluster(session, workers, running)


async def test_work_and_a_rolling_restart_wake_nobody(
    three: Cluster, kafka: Kafka, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """A restart takes some seconds, so that one scrape of a minute's distance may miss the worker."""
    timeline = Timeline()
    timeline.goes_on(WELL, **await three.is_well())
    fleet = Fleet(session, three.running)

    async def goes_on() -> None:
        done = len(fleet.tried)
        await eventually(lambda: len(fleet.tried) > done + MEANWHILE, 40.0)

    async with fleet.fed(kafka, three.running[0].topic, PARTITIONS, rate=20), fleet.working("stable", 3):
        for _ in range(5):
            await goes_on()
            timeline.goes_on(2, **await three.is_well())
            timeline.fires(tmp_path)
        for leaving in list(three.running):
            assert (await leaving.terminate()).code == 0
            timeline.goes_on(1, **await three.without(leaving))
            timeline.fires(tmp_path)
            await three.again(leaving)
            fleet.workers = list(three.running)
            await goes_on()
            timeline.goes_on(2, **await three.is_well())
            timeline.fires(tmp_path)


async def test_leaders_that_are_killed_again_and_again(three: Cluster, tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.goes_on(WELL, **await three.is_well())
    for kills in range(1, 9):
        led = await three.leaders.settled(LED_WITHIN)
        led.by.kill9()
        await three.leaders.settled(LED_WITHIN, led.by, after=led)
        timeline.goes_on(1, **await three.without(led.by))
        await three.again(led.by)
        timeline.goes_on(2, **await three.is_well())
        if kills in (2, 4):
            timeline.fires(tmp_path)
    timeline.fires(tmp_path, "FanoutLeaderChanges")


async def test_a_worker_that_is_killed_and_started_again_and_again(three: Cluster, tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.goes_on(WELL, **await three.is_well())
    led = await three.leaders.settled(LED_WITHIN)
    for restarts in range(1, 5):
        timeline.fires(tmp_path)
        one = next(worker for worker in three.running if worker.url != led.by.url)
        one.kill9()
        timeline.goes_on(1, **await three.without(one))
        await three.again(one)
        assert (await three.leaders.settled(LED_WITHIN)).epoch == led.epoch, restarts
        timeline.goes_on(2, **await three.is_well())
    timeline.fires(tmp_path, "FanoutRestarts")


# Apart ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def held() -> Iterator[int]:
    """A port for a broker to listen at."""
    with reserve_port() as port:
        yield port.getsockname()[1]


async def test_a_worker_that_is_cut_off_from_kafka(held: int, session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """One of two reaches the broker by a cable of its own; both are scraped as before."""
    timeline = Timeline()
    async with Cable.to(f"127.0.0.1:{held}") as cable:
        options = (
            f"listeners=+,CABLE://127.0.0.1:{held}",
            f"advertised.listeners=+,CABLE://{cable.address}",
            "listener.security.protocol.map=+,CABLE:PLAINTEXT",
        )
        with running_stack(broker_options=options) as stack:
            workers = Workers(stack.brokers, tmp_path, session)
            try:
                async with Kafka(stack.brokers) as kafka:
                    topic = await kafka.new_topic(PARTITIONS)
                one = await workers.launch(topic, zookeepers=stack.zookeepers).ready()
                await once(session, one, leading=1)
                by_cable = workers.launch(topic, brokers=cable.address, zookeepers=stack.zookeepers)
                pair = Cluster(session, workers, [one, await by_cable.ready()])
                timeline.goes_on(WELL, **await pair.is_well())
                cable.cut()

                async def alone() -> bool:
                    said = await scrape(session, one)
                    return value_of(said, "workers") == 1 and value_of(said, "owned_partitions") == PARTITIONS

                await eventually(alone, 40.0)
                timeline.goes_on(1, a=await scrape(session, one), b=await scrape(session, by_cable))
                timeline.fires(tmp_path)
                timeline.goes_on(3, a=await scrape(session, one), b=await scrape(session, by_cable))
                timeline.fires(tmp_path, "FanoutWorkersApart")
                cable.mend()
                timeline.goes_on(2, **await pair.is_well())
                timeline.fires(tmp_path)
            finally:
                workers.close()
