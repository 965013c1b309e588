"""ZooKeeper goes away and comes back: the lead is nobody's meanwhile, and clients notice nothing."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from time import monotonic

import aiohttp
import pytest
import pytest_asyncio

from support.clients import MakeClient
from support.connections import connected_to
from support.eventually import eventually
from support.kafka import Kafka
from support.leaders import Leaders
from support.outage import SOON, Service
from support.stack import Stack
from support.workers import READY_TOGETHER, Workers
from support.zookeeper import mirrored

SERVERS = {"zookeeper": 3}
PARTITIONS = 4
EACH = 50
#: Seconds.
OUTAGE = 20.0
SESSION = 4.0
#: Longer than it takes ZooKeeper to end a session, and a client to look for another server.
PAST_SESSION = 3 * SESSION
#: A call to ZooKeeper gives up after 4 s: whoever waits for one takes longer than this.
WAITS_FOR_NOBODY = 3.0
#: An outage is told in so few lines by each worker, its end included.
LINES = 8


@pytest_asyncio.fixture(loop_scope="session")
async def service(own_stack: Stack, kafkas: Kafka, workers: Workers) -> Service:
    """Two workers that share the partitions."""
    topic = await kafkas.new_topic(PARTITIONS)
    pair = [
        workers.launch(
            topic,
            brokers=own_stack.brokers,
            zookeepers=own_stack.zookeepers,
            zookeeper_timeout=f"{SESSION:g}s",
            drain="0s",
        )
        for _ in range(2)
    ]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
    service = Service(own_stack, kafkas, topic, PARTITIONS, pair)
    await eventually(service.shared, SOON)
    return service


@pytest.mark.long
async def test_all_of_them_killed_for_twenty_seconds_and_back(
    own_stack: Stack, service: Service, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    leaders = Leaders(session, service.workers)
    first = await leaders.settled(READY_TOGETHER)
    lines = {worker: len(worker.text().splitlines()) for worker in service.workers}
    async with service.at_work(client, session), leaders.watched():
        await asyncio.to_thread(own_stack.kill, *own_stack.servers("zookeeper"))
        away = monotonic()
        try:
            await eventually(lambda: nobody_acts(leaders), SOON)
            while monotonic() < away + OUTAGE:
                new = await service.produce(EACH)
                await eventually(partial(service.is_acked, new), SOON)
                assert await nobody_acts(leaders)
        finally:
            await asyncio.to_thread(own_stack.start_all)
        again = await leaders.settled(SOON)
        assert (again.epoch or 0) >= (first.epoch or 0)
        await service.is_as_before()
    assert leaders.overlaps() == []
    assert service.crew.slowest_pull < WAITS_FOR_NOBODY
    assert service.crew.slowest_ack < WAITS_FOR_NOBODY
    ends = await service.kafka.ends(service.topic, range(PARTITIONS))
    await eventually(lambda: is_mirrored(service, ends), SOON)
    for worker in service.workers:
        told = worker.text().splitlines()[lines[worker] :]
        assert len(told) <= LINES, told
        assert [line for line in told if " ERROR " in line or "Traceback" in line] == []


async def nobody_acts(leaders: Leaders) -> bool:
    return True not in [(await leaders.ask(worker)).acting for worker in leaders.workers]


async def is_mirrored(service: Service, floors: dict[int, int]) -> bool:
    """For `eventually`: whether exactly these are the mirrored floors."""
    found = await mirrored(service.stack.zookeepers, service.workers[0].id, service.topic)
    assert found == {partition: (0, floor) for partition, floor in floors.items()}
    return True


async def test_the_one_that_the_leader_talks_to_hangs_past_its_session(
    own_stack: Stack, service: Service, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    leaders = Leaders(session, service.workers)
    first = await leaders.settled(READY_TOGETHER)
    addresses = own_stack.zookeepers.split(",")
    (used,) = connected_to(first.by.pid, addresses)
    hung = own_stack.servers("zookeeper")[addresses.index(used)]
    async with service.at_work(client, session), leaders.watched():
        await asyncio.to_thread(own_stack.pause, hung)
        since = monotonic()
        try:
            await eventually(lambda: connected_to(first.by.pid, addresses) - {used}, SOON)
            await leaders.settled(SOON)
            await asyncio.sleep(max(0.0, since + PAST_SESSION - monotonic()))
            new = await service.produce(EACH)
            await eventually(lambda: service.is_acked(new), SOON)
        finally:
            await asyncio.to_thread(own_stack.resume, hung)
        await leaders.settled(SOON)
        await service.is_as_before()
    assert leaders.overlaps() == []
    assert service.crew.slowest_pull < WAITS_FOR_NOBODY
    assert service.crew.slowest_ack < WAITS_FOR_NOBODY


async def test_away_at_the_start_and_there_later(
    own_stack: Stack,
    kafkas: Kafka,
    workers: Workers,
    client: MakeClient,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef0123456789abcdef\n")
    topic = await kafkas.new_topic(PARTITIONS)
    await asyncio.to_thread(own_stack.kill, *own_stack.servers("zookeeper"))
    try:
        worker = workers.launch(
            topic, brokers=own_stack.brokers, zookeepers=own_stack.zookeepers, lease_key_file=str(keys), drain="0s"
        )
        await worker.ready(READY_TOGETHER)
        service = Service(own_stack, kafkas, topic, PARTITIONS, [worker])
        leaders = Leaders(session, [worker])
        async with service.at_work(client, session):
            new = await service.produce(EACH)
            await eventually(lambda: service.is_acked(new), SOON)
            assert await nobody_acts(leaders)
    finally:
        await asyncio.to_thread(own_stack.start, *own_stack.servers("zookeeper"))
    await leaders.settled(SOON)
    await eventually(lambda: is_mirrored(service, dict.fromkeys(range(PARTITIONS), EACH)), SOON)
