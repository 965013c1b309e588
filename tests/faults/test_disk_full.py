"""A broker's disk is full: it stops, nobody is told an untruth, and with room and a start everything goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic

import aiohttp
import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.outage import ANSWERED, SOON, Service, hold, is_done, settle_alone
from support.stack import Stack, running_stack
from support.workers import READY_TOGETHER, Workers

PARTITIONS = 3
EACH = 100
FULL = "kafka-1"
#: Seconds that clients go on while the broker is gone.
OUTAGE = 10.0


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A broker, or three, the first of which has a disk of 64 MiB."""
    brokers: int = request.param
    with running_stack(kafka=brokers, small_disk=FULL) as stack:
        yield stack


@pytest.mark.parametrize("stack", [1], indirect=True)
async def test_of_the_only_broker_durable_settles_are_refused_until_it_is_back(
    stack: Stack, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    async with Kafka(stack.brokers) as kafka:
        topic = await kafka.new_topic(PARTITIONS)
        worker = await workers.start(topic)
        service = Service(stack, kafka, topic, PARTITIONS, [worker])
        holder = client(worker, "holder")
        await kafka.produce(topic, "held")
        (held,) = await hold(holder, 1)
        await service.produce(EACH)
        async with service.at_work(client, session):
            await eventually(lambda: len(service.crew.acked) > EACH, SOON)
            await asyncio.to_thread(stack.fill_disk, FULL)
            await eventually(lambda: not stack.runs(FULL), SOON)
            gone = monotonic()

            status, retry_after, seconds = await settle_alone(session, worker, held)
            assert (status, retry_after is not None) == (503, True)
            assert seconds < ANSWERED
            await asyncio.sleep(OUTAGE)
            back = monotonic()
            assert service.was_degraded(gone, back)
            assert service.acked_between(gone, back) == [], "no broker had it"
            await asyncio.to_thread(stack.free_disk, FULL)
            await service.start_brokers(1)

            new = await service.produce(1)
            await eventually(lambda: service.is_acked(new), SOON)
            await eventually(lambda: is_done(session, worker, held), SOON)
            await service.is_as_before()


@pytest.mark.parametrize("stack", [3], indirect=True)
async def test_of_one_of_three_the_others_go_on(
    stack: Stack, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    async with Kafka(stack.brokers) as kafka:
        topic = await kafka.new_topic(PARTITIONS, copies=3, min_insync_replicas="2")
        pair = [workers.launch(topic) for _ in range(2)]
        await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
        service = Service(stack, kafka, topic, PARTITIONS, pair)
        await eventually(service.shared, SOON)
        await service.produce(EACH)
        async with service.at_work(client, session):
            await eventually(lambda: len(service.crew.acked) > EACH, SOON)
            await asyncio.to_thread(stack.fill_disk, FULL)
            await eventually(lambda: not stack.runs(FULL), SOON)

            without = await service.produce(1)
            await eventually(lambda: service.is_acked(without), SOON)
            await asyncio.to_thread(stack.free_disk, FULL)
            await service.start_brokers(1)
            new = await service.produce(1)
            await eventually(lambda: service.is_acked(new), SOON)
            await service.is_as_before()
