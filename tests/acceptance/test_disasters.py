"""What fanout keeps in Kafka and ZooKeeper is lost, each by itself: what comes again then, and that nothing else does.

What is lost together is in `test_mirror`, a source that is made anew in `test_another_log` and `test_winding_back`.
"""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack, kafka_tool
from support.workers import READY_TOGETHER, Worker, Workers
from support.zookeeper import mirrored

#: One after the other, each with a start or two of workers; what is alike and shorter is in the files named above.
pytestmark = pytest.mark.long
SERVERS = {"zookeeper": 1}
ID = "service"
MANY = 20
FLOOR = 7
#: Acked although what lies before it is not: the ledger alone knows that.
ABOVE = 15
#: Seconds; how long the servers are given on a busy machine for what takes them a second.
SOON = 30.0


async def stopped_half_way(kafka: Kafka, workers: Workers, client: MakeClient) -> Worker:
    """A worker that has ended as it was asked to, with the floor committed and one message settled above it."""
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"v{number}" for number in range(MANY)))
    worker = await workers.start(topic, drain="0s")
    one = client(worker, "one")
    messages = await one.take(MANY, ack_wait_ms=600_000)
    done = [message.lease for message in messages if message.offset < FLOOR or message.offset == ABOVE]
    # Its lease would be handed over, and the message held back.
    left = [{"lease": message.lease, "delay_ms": 0} for message in messages if message.lease not in done]
    settled = await one.settle(ack=done, nack=left)
    assert (settled.acked, settled.nacked) == (FLOOR + 1, MANY - FLOOR - 1)
    await eventually(lambda: kafka.has_committed(ID, topic, {0: FLOOR}), SOON)
    assert (await worker.terminate()).code == 0
    await eventually(lambda: is_deserted(kafka, topic), SOON)
    return worker


async def is_deserted(kafka: Kafka, topic: str) -> bool:
    return await kafka.members(ID, topic) == 0


async def comes_again(client: MakeClient, worker: Worker, *offsets: int) -> None:
    """Exactly these, and each once."""
    two = client(worker, "two")
    assert sorted(message.offset for message in await two.take(len(offsets), ack_wait_ms=600_000)) == list(offsets)
    assert (await two.pull(wait_ms=500)).messages == []


async def test_a_changelog_that_is_lost_costs_what_was_settled_above_the_floor(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    worker = await stopped_half_way(kafka, workers, client)
    await kafka.delete_topic(f"fanout_{ID}_{worker.topic}-ledgers-changelog")

    again = await workers.again(worker).ready()

    await comes_again(client, again, *range(FLOOR, MANY))


async def test_offsets_of_the_group_that_are_lost_cost_nothing_and_are_committed_again(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    worker = await stopped_half_way(kafka, workers, client)
    await asyncio.to_thread(
        kafka_tool, "consumer.group.ConsumerGroupCommand", "--bootstrap-server", kafka.brokers,
        "--delete", "--group", f"fanout_{ID}_{worker.topic}",
    )  # fmt: skip
    assert await kafka.committed(ID, worker.topic) == {}

    again = await workers.again(worker).ready()

    await comes_again(client, again, *(offset for offset in range(FLOOR, MANY) if offset != ABOVE))
    await eventually(lambda: kafka.has_committed(ID, worker.topic, {0: FLOOR}), SOON)


async def test_a_board_that_is_lost_costs_the_pause_and_no_ack(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "acked", "left")
    worker = await workers.start(topic, drain="0s")
    one = client(worker, "one")
    (message,) = await one.take(1)
    assert (await one.ack(message.lease)).acked == 1
    async with session.post(f"{worker.url}/v1/pause") as response:
        assert (await response.json()) == {"paused": True}
    assert (await worker.terminate()).code == 0
    await eventually(lambda: is_deserted(kafka, topic), SOON)
    await kafka.delete_topic(f"fanout_{ID}_{topic}")

    again = await workers.again(worker).ready()

    assert (await again.status())["paused"] is False
    await comes_again(client, again, 1)


async def test_a_zookeeper_that_was_made_anew_costs_the_tokens_once_workers_are_started_again(
    own_stack: Stack, kafkas: Kafka, workers: Workers, client: MakeClient
) -> None:
    """And not before: a worker goes on with the key that it has read."""
    topic = await kafkas.new_topic(1)
    await kafkas.produce(topic, "acked before", "held", "acked after")
    worker = workers.launch(topic, brokers=own_stack.brokers, zookeepers=own_stack.zookeepers, drain="0s")
    one = client(await worker.ready(READY_TOGETHER), "one")
    (first,) = await one.take(1)
    assert (await one.ack(first.lease)).acked == 1
    (held,) = await one.take(1, ack_wait_ms=20_000)

    (zookeeper,) = own_stack.servers("zookeeper")
    own_stack.kill(zookeeper)
    own_stack.lose_data(zookeeper)
    own_stack.start(zookeeper)

    (third,) = await one.take(1)
    assert (await one.ack(third.lease)).acked == 1
    # It has not moved, and is written all the same.
    assert await eventually(lambda: mirrored(own_stack.zookeepers, ID, topic), SOON) == {0: (0, held.offset)}
    assert (await worker.terminate()).code == 0
    again = await workers.again(worker).ready(READY_TOGETHER)
    assert (await one.ack(held.lease, at=again)).results == {held.lease: "retry"}
    assert (await client(again, "two").pull(wait_ms=30_000)).one.offset == held.offset
    assert (await client(again, "two").pull(wait_ms=500)).messages == []
