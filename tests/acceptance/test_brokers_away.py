"""All brokers are killed and come back half a minute later: the workers sit it out, and nobody is told an untruth."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic

import aiohttp
import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.outage import ANSWERED, SOON, Service, hold, is_done, settle_alone
from support.stack import Stack
from support.workers import READY_TOGETHER, Workers

SERVERS = {"kafka": 3}
PARTITIONS = 6
EACH = 100
BROKERS = (1, 2, 3)
#: Seconds.
OUTAGE = 30.0
#: An outage of any length is told in so few lines by each worker, its end included.
LINES = 12
#: Seconds after which aiokafka's producer gives up what it could not even send; Faust's default is 20 minutes.
GIVES_UP_AFTER = 2.0

pytestmark = pytest.mark.long


async def test_all_brokers_down_for_half_a_minute_and_back(
    own_stack: Stack, kafkas: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafkas.new_topic(PARTITIONS, copies=3, min_insync_replicas="2")
    launch = partial(workers.launch, brokers=own_stack.brokers, zookeepers=own_stack.zookeepers)
    pair = [launch(topic, session_timeout="6s") for _ in range(2)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
    service = Service(own_stack, kafkas, topic, PARTITIONS, pair)
    await eventually(service.shared, SOON)
    holder = client(pair[0], "holder")
    await kafkas.produce(topic, *map(str, range(4)))
    alone, first, second, beside = await hold(holder, 4)
    await service.produce(EACH)

    async with service.at_work(client, session):
        await eventually(lambda: len(service.crew.acked) > EACH, SOON)
        lines = {worker: len(worker.text().splitlines()) for worker in pair}
        await service.kill_brokers(*BROKERS)
        away = monotonic()

        status, retry_after, seconds = await settle_alone(session, pair[0], alone)
        assert (status, retry_after is not None) == (503, True)
        assert seconds < ANSWERED
        bulk = await holder.ack(first.lease, second.lease)
        assert (bulk.status, set(bulk.results.values())) == (503, {"retry"})
        mixed = await holder.ack(beside.lease, "no-token")
        assert (mixed.status, mixed.acked) == (200, 0)
        assert mixed.results == {beside.lease: "retry", "no-token": "lease_unknown"}

        await asyncio.sleep(max(0.0, away + OUTAGE - monotonic()))
        assert (await settle_alone(session, pair[0], alone))[0] == 503
        back = monotonic()
        assert service.was_degraded(away, back)
        await service.start_brokers(*BROKERS)
        answering = monotonic()
        assert service.acked_between(away, back) == [], "no broker had it"

        new = await service.produce(1)
        await eventually(lambda: service.is_acked(new), SOON)
        assert monotonic() - answering < SOON
        for held in (alone, first, second, beside):
            await eventually(partial(is_done, session, pair[1], held), SOON)
        await service.is_as_before()
    for worker in pair:
        told = worker.text().splitlines()[lines[worker] :]
        assert len(told) <= LINES, told
        assert [line for line in told if " ERROR " in line or "Traceback" in line] == []
        assert any("Kafka takes heartbeats of this worker again" in line for line in told)
    assert sum(worker.text().count("Kafka takes ledger rows again") for worker in pair) in (1, 2)


async def test_rows_are_taken_again_after_their_partition_had_no_leader_for_longer_than_a_producer_waits(
    own_stack: Stack, kafkas: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafkas.new_topic()  # of one copy each, and so is the changelog
    give_up = f"producer-gives-up={GIVES_UP_AFTER:g}"
    worker = await workers.start(topic, brokers=own_stack.brokers, faults=[give_up], drain="0s")
    await kafkas.produce(topic, "0", "1")
    one = client(worker, "one")
    first, second = await hold(one, 2)
    assert (await one.ack(first.lease)).acked == 1, "the broker knows the producer"
    lost = f"kafka-{(await kafkas.leaders(f'fanout_{worker.id}_{topic}-ledgers-changelog'))[0]}"
    await asyncio.to_thread(own_stack.kill, lost)
    try:
        assert (await one.ack(second.lease)).results == {second.lease: "retry"}
        await asyncio.sleep(3 * GIVES_UP_AFTER)
    finally:
        await asyncio.to_thread(own_stack.start, lost)

    async def is_settled() -> bool:
        return (await one.ack(second.lease)).results == {second.lease: "already_settled"}

    await eventually(is_settled, SOON)
    await eventually(lambda: kafkas.has_committed(worker.id, topic, {0: 2}), SOON)
