"""Where no ZooKeeper is configured the owner of partition 0 leads."""

from __future__ import annotations

import asyncio

import aiohttp

from support.eventually import eventually
from support.kafka import Kafka
from support.leaders import Leaders, leader_records, stale
from support.workers import READY_TOGETHER, Worker, Workers


async def test_the_owner_of_partition_0_leads_in_the_epoch_of_its_generation(
    kafka: Kafka, workers: Workers, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(2)
    launched = [workers.launch(topic, drain="0s") for _ in range(2)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in launched))
    leaders = Leaders(session, launched)

    async def owner_leads(*among: Worker) -> Worker:
        said = await leaders.agreed(among)
        assert 0 in await said.by.partitions()
        assert said.epoch == (await said.by.status())["generation"]
        return said.by

    async with leaders.watched():
        first = await eventually(lambda: owner_leads(*launched), READY_TOGETHER)
        (other,) = [worker for worker in launched if worker is not first]
        before = (await leaders.ask(other)).epoch or 0
        first.kill9()
        assert await eventually(lambda: owner_leads(other), READY_TOGETHER) is other
        assert ((await leaders.ask(other)).epoch or 0) > before
    assert leaders.overlaps() == []
    assert stale(await leader_records(kafka, other)) == []
