"""One of three workers leads, and another one when it stops, is killed, sleeps or hangs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from itertools import pairwise
from time import monotonic

import aiohttp
import pytest
import pytest_asyncio

from support.eventually import eventually
from support.kafka import Kafka
from support.leaders import Leaders, leader_records, stale
from support.stack import Stack
from support.workers import READY_TOGETHER, ShowLogs, Worker, Workers

#: The session of a worker (6 s) and 3 s: by then another one leads. The rest is a busy machine's allowance.
WITHIN = 9.0 + 6.0
#: Longer than the session lives, one tick of ZooKeeper more, and the wait of the new leader.
ASLEEP = 8.0


class Cluster:
    """Three workers with one ZooKeeper; one that ends in a test is replaced for the next."""

    def __init__(self, workers: Workers, leaders: Leaders, topic: str, zookeepers: str) -> None:
        self.workers = workers
        self.leaders = leaders
        self.topic = topic
        self._zookeepers = zookeepers

    def launch(self) -> Worker:
        return self.workers.launch(self.topic, drain="0s", faults=["loop-hangs=5"], zookeepers=self._zookeepers)

    async def led(self) -> tuple[Worker, int]:
        """Who leads, in which epoch, once all three are there and agree."""
        for gone in [worker for worker in self.leaders.workers if not worker.runs]:
            self.leaders.workers.remove(gone)
            self.leaders.workers.append(await self.launch().ready(READY_TOGETHER))
        said = await self.leaders.settled(READY_TOGETHER)
        assert said.epoch is not None
        return said.by, said.epoch


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three(
    stack: Stack, kafka: Kafka, session: aiohttp.ClientSession, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cluster]:
    workers = Workers(stack.brokers, tmp_path_factory.mktemp("leader"), session)
    try:
        cluster = Cluster(workers, Leaders(session, []), await kafka.new_topic(3), stack.zookeepers)
        cluster.leaders.workers += [cluster.launch() for _ in range(3)]
        await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in cluster.leaders.workers))
        yield cluster
    finally:
        workers.close()


@pytest.fixture
def cluster(three: Cluster, show_logs: ShowLogs) -> Cluster:
    show_logs(three.workers)
    return three


async def test_all_name_the_same_leader_and_so_does_status(cluster: Cluster) -> None:
    leader, epoch = await cluster.led()
    (name,) = [name for name, row in (await leader.workers()).items() if row["me"]]
    for worker in cluster.leaders.workers:
        said = await cluster.leaders.ask(worker)
        assert (said.worker, said.epoch, said.me, said.acting) == (name, epoch, worker is leader, worker is leader)
        status = await worker.status()
        assert (status["leader"], status["epoch"]) == (name, epoch)


async def test_one_that_is_killed_is_followed_by_another(cluster: Cluster, kafka: Kafka) -> None:
    leader, epoch = await cluster.led()
    leader.kill9()
    said = await cluster.leaders.settled(WITHIN, leader)
    assert (said.epoch or 0) > epoch
    assert stale(await leader_records(kafka, leader)) == []


async def test_one_that_stops_makes_room_at_once(cluster: Cluster, kafka: Kafka) -> None:
    leader, epoch = await cluster.led()
    async with cluster.leaders.watched():
        leader.signal(signal.SIGTERM)
        said = await cluster.leaders.settled(WITHIN, leader)
    assert (said.epoch or 0) > epoch
    assert (await leader.ended(15.0)).code == 0
    assert cluster.leaders.overlaps() == []
    assert stale(await leader_records(kafka, leader)) == []
    deposed = [worker for worker in cluster.leaders.workers if f"epoch {epoch} is silent" in worker.text()]
    assert not deposed, "it left the lock by itself"


async def test_one_that_slept_past_its_session_answers_rightly_as_soon_as_it_wakes(
    cluster: Cluster, kafka: Kafka
) -> None:
    leader, epoch = await cluster.led()
    leader.pause()
    slept = monotonic()
    try:
        said = await cluster.leaders.settled(WITHIN, leader)
        assert (said.epoch or 0) > epoch
        await asyncio.sleep(max(0.0, slept + ASLEEP - monotonic()))
        waking = asyncio.create_task(cluster.leaders.ask(leader))
    finally:
        leader.resume()
    first = await waking
    assert not first.acting
    assert not first.me

    async def knows() -> bool:
        now = await cluster.leaders.ask(leader)
        assert not now.acting
        assert not now.me
        return now.worker == said.worker

    await eventually(knows, 5.0, every=0.02)
    assert cluster.leaders.overlaps() == []
    # It may have been put to sleep between the look at its right and the write.
    late = stale(await leader_records(kafka, leader))
    assert len(late) <= 1
    assert all(row[1] == epoch for row in late)
    assert (await cluster.leaders.settled(WITHIN)).worker == said.worker, "nobody follows that record"


async def test_one_whose_loop_hangs_is_deposed_although_zookeeper_hears_it(cluster: Cluster) -> None:
    leader, epoch = await cluster.led()
    leader.signal(signal.SIGUSR2)
    said = await cluster.leaders.settled(WITHIN, leader)
    assert (said.epoch or 0) > epoch
    others = [worker for worker in cluster.leaders.workers if worker is not leader]
    assert any(f"epoch {epoch} is silent, as most workers say: deposed" in worker.text() for worker in others)
    assert cluster.leaders.overlaps() == []


async def test_a_change_is_one_line_for_each_worker(cluster: Cluster) -> None:
    leader, _ = await cluster.led()
    for worker in cluster.leaders.workers:
        named = [line.split("fanout.leading: ")[1] for line in worker.text().splitlines() if " leads, epoch " in line]
        whom = [line.split(" leads, ")[0] for line in named]
        assert whom[-1] == "this worker" if worker is leader else whom[-1].endswith(leader.url)
        assert all(one != after for one, after in pairwise(whom))
