"""Outages of Kafka in all the ways in which one may come: longer than any timeout, in pieces, in a rebalance."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic

import aiohttp
import pytest_asyncio

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.outage import SOON, Service
from support.stack import Stack, running_stack
from support.workers import READY_TOGETHER, Worker, Workers

SERVERS = {"kafka": 3}
PARTITIONS = 6
EACH = 100
BROKERS = (1, 2, 3)
#: Seconds; longer than any request, session or delivery is waited for by default, but for aiokafka's 20 minutes.
LONG = 70.0
#: Seconds between one broker and the next that comes back.
APART = 8.0
#: Longer than one request may take, 20 s: a step of a recovery that is given up then must not be the last.
IN_A_REBALANCE = 30.0


@pytest_asyncio.fixture(loop_scope="session")
async def service(own_stack: Stack, kafkas: Kafka, workers: Workers) -> Service:
    """Two workers on three brokers."""
    topic = await kafkas.new_topic(PARTITIONS, copies=3, min_insync_replicas="2")
    pair = [launched(workers, topic, own_stack) for _ in range(2)]
    return await in_service(own_stack, kafkas, topic, pair)


def launched(workers: Workers, topic: str, stack: Stack) -> Worker:
    return workers.launch(
        topic, brokers=stack.brokers, zookeepers=stack.zookeepers, session_timeout="6s", commit_interval="3s"
    )


async def in_service(stack: Stack, kafka: Kafka, topic: str, pair: list[Worker]) -> Service:
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
    service = Service(stack, kafka, topic, PARTITIONS, pair)
    await eventually(service.shared, SOON)
    await service.produce(EACH)
    return service


async def goes_on(service: Service) -> None:
    """Wait until new messages of all partitions have been delivered and acked, and all is as before."""
    new = await service.produce(1)
    await eventually(lambda: service.is_acked(new), SOON)
    await service.is_as_before()


async def test_the_only_broker_is_away_for_longer_than_anything_is_waited_for(
    workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    with running_stack() as stack:
        async with Kafka(stack.brokers) as kafka:
            topic = await kafka.new_topic(PARTITIONS)
            service = await in_service(stack, kafka, topic, [launched(workers, topic, stack) for _ in range(2)])
            async with service.at_work(client, session):
                await eventually(lambda: len(service.crew.acked) > EACH, SOON)
                await service.kill_brokers(1)
                away = monotonic()
                await asyncio.sleep(LONG)
                back = monotonic()
                await service.start_brokers(1)
                assert service.acked_between(away, back) == []
                assert service.was_degraded(away, back)
                await goes_on(service)


async def test_all_three_are_away_for_as_long_and_come_back_one_after_the_other(
    service: Service, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    async with service.at_work(client, session):
        await eventually(lambda: len(service.crew.acked) > EACH, SOON)
        await service.kill_brokers(*BROKERS)
        away = monotonic()
        await asyncio.sleep(LONG)
        back = monotonic()
        try:
            # One alone is no quorum, and never ready. Partitions of which only the third has all have no leader yet.
            await service.start_brokers(1, 2)
            assert service.acked_between(away, back) == []
            await asyncio.sleep(APART)
        finally:
            await service.start_brokers(*BROKERS)
        assert service.was_degraded(away, back)
        await goes_on(service)


async def test_all_three_go_in_the_middle_of_a_rebalance(
    service: Service, workers: Workers, own_stack: Stack, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    async with service.at_work(client, session):
        await eventually(lambda: len(service.crew.acked) > EACH, SOON)
        third = launched(workers, service.topic, own_stack)
        await eventually(partial(is_rebalancing, service), READY_TOGETHER, every=0.01)
        await service.kill_brokers(*BROKERS)
        try:
            await asyncio.sleep(IN_A_REBALANCE)
        finally:
            await service.start_brokers(*BROKERS)
        await third.ready(SOON)
        service.workers.append(third)
        await eventually(service.shared, SOON)
        await goes_on(service)


async def is_rebalancing(service: Service) -> bool:
    return "rebalancing" in [reason for worker in service.workers for reason in (await worker.status())["degraded"]]


async def test_only_the_coordinator_of_the_group_goes(
    service: Service, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    coordinator = await service.kafka.coordinator(service.workers[0].id, service.topic)
    async with service.at_work(client, session):
        await eventually(lambda: len(service.crew.acked) > EACH, SOON)
        await service.kill_brokers(coordinator)
        try:
            new = await service.produce(1)
            await eventually(lambda: service.is_acked(new), SOON)
        finally:
            await service.start_brokers(coordinator)
        await goes_on(service)
