"""What a client may say about a message, and what comes of it."""

from __future__ import annotations

import asyncio
from time import monotonic

import aiohttp
import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack
from support.workers import Worker, Workers


@pytest.fixture
async def worker(fresh: Worker, kafka: Kafka) -> Worker:
    """With one message in partition 0."""
    await kafka.produce(fresh.topic, "v0")
    return fresh


async def test_a_nacked_message_goes_to_another_client_at_once(worker: Worker, client: MakeClient) -> None:
    one, other = client(worker, "one"), client(worker, "other")
    message = (await one.pull()).one
    waiting = asyncio.create_task(other.pull(wait_ms=5000))
    also_waiting = asyncio.create_task(one.pull(wait_ms=2000))
    await eventually(lambda: worker.has_waiting(2))
    began = monotonic()

    settled = await one.nack(message.lease)

    again = (await waiting).one
    assert monotonic() - began < 0.5
    assert (settled.nacked, settled.results) == (1, {})
    assert (again.offset, again.delivery_count) == (message.offset, 2)
    assert (await also_waiting).messages == []


async def test_a_client_does_not_get_back_what_it_nacked_while_another_one_comes(
    worker: Worker, client: MakeClient
) -> None:
    one, other = client(worker, "one"), client(worker, "other")
    message = (await one.pull()).one
    waiting = asyncio.create_task(one.pull(wait_ms=700))
    await eventually(lambda: worker.has_waiting(1))
    await one.nack(message.lease)
    again = (await other.pull(wait_ms=500)).one
    assert (again.offset, again.delivery_count) == (message.offset, 2)
    assert (await waiting).messages == []


async def test_a_nack_with_a_delay_keeps_the_message_back(worker: Worker, client: MakeClient) -> None:
    one, other = client(worker, "one"), client(worker, "other")
    message = (await one.pull()).one
    began = monotonic()
    await one.nack(message.lease, delay_ms=800)
    again = (await other.pull(wait_ms=5000)).one
    assert 0.8 - 0.05 < monotonic() - began < 0.8 + 0.5
    assert again.delivery_count == 2


async def test_an_extended_lease_keeps_the_message(worker: Worker, client: MakeClient) -> None:
    one, other = client(worker, "one"), client(worker, "other")
    message = (await one.pull(ack_wait_ms=600)).one
    waiting = asyncio.create_task(other.pull(wait_ms=1800))
    while not waiting.done():
        settled = await one.extend(message.lease, ack_wait_ms=600)
        assert (settled.extended, settled.results) == (1, {})
        await asyncio.wait([waiting], timeout=0.2)
    assert (await waiting).messages == []
    settled = await one.ack(message.lease)
    assert (settled.acked, settled.results) == (1, {})


async def test_a_settle_rides_on_a_pull(kafka: Kafka, worker: Worker, client: MakeClient) -> None:
    await kafka.produce(worker.topic, "v1")
    one = client(worker, "one")
    first = (await one.pull()).one

    pulled = await one.pull(settle={"ack": [first.lease]})
    assert pulled.settled is not None
    assert (pulled.settled.acked, pulled.settled.results) == (1, {})
    assert pulled.one.value == "v1"

    last = await one.pull(settle={"ack": [pulled.one.lease]}, wait_ms=200)
    assert last.settled is not None
    assert (last.status, last.messages, last.empty, last.settled.acked) == (200, [], "no-message", 1)
    await eventually(lambda: kafka.has_committed(worker.id, worker.topic, {0: 2}))


async def test_a_batch_is_acked_but_for_what_was_nacked(kafka: Kafka, worker: Worker, client: MakeClient) -> None:
    await kafka.produce(worker.topic, *(f"v{number}" for number in range(1, 5)))
    one, other = client(worker, "one"), client(worker, "other")
    # The first pull opens the intake and may come back with less than there is.
    first = (await one.pull()).one
    await eventually(lambda: all_but_one_are_buffered(worker))
    await one.ack(first.lease)
    pulled = await one.pull(max_messages=10)
    bad = pulled.messages[1]

    settled = await one.settle(nack=[{"lease": bad.lease}], ack=[pulled.batch])

    assert (settled.nacked, settled.acked) == (1, 3)
    assert settled.results == {bad.lease: "not_in_batch"}
    assert (await other.pull()).one.offset == bad.offset


async def test_a_settle_that_need_not_be_durable_does_not_wait_for_kafka(
    kafkas: Kafka, own_stack: Stack, workers: Workers, client: MakeClient
) -> None:
    worker = await workers.start(await kafkas.new_topic(1), brokers=own_stack.brokers)
    await kafkas.produce(worker.topic, "v0", "v1")
    one = client(worker, "one")
    first, second = await one.take(2)
    own_stack.pause("kafka-1")
    try:
        durable = asyncio.create_task(one.ack(first.lease))
        loose = await asyncio.wait_for(one.ack(second.lease, durable=False), 0.7)
        done, _ = await asyncio.wait([durable], timeout=0.3)
        assert not done, "answered as durable while Kafka stood still"
    finally:
        own_stack.resume("kafka-1")
    assert (loose.acked, loose.results) == (1, {})
    settled = await durable
    assert (settled.acked, settled.results) == (1, {})
    await eventually(lambda: kafkas.has_committed(worker.id, worker.topic, {0: 2}))


async def test_one_message_at_a_time_needs_no_body_and_no_json(
    worker: Worker, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    async with session.post(f"{worker.url}/v1/next?client=curl&wait_ms=5000") as response:
        assert (response.status, await response.read()) == (200, b"v0")
        location = response.headers["Location"]
        assert response.headers["Kafka-Offset"] == "0"
    async with session.delete(worker.url + location) as response:
        assert response.status == 204
    assert (await client(worker, "other").pull(wait_ms=300)).messages == []


async def all_but_one_are_buffered(worker: Worker) -> bool:
    return bool((await worker.status())["buffered"] == 4)
