"""A thousand messages wound back, in each way there is: they come again, each once, whatever happens to the worker."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp

from support.clients import Client, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.operator import make_anew
from support.stack import kafka_tool
from support.workers import Worker, Workers

ID = "service"
MANY = 1000
MORE = 1500


async def test_a_seek_back_of_a_thousand_then_kill_9(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic, worker = await worked_off(kafka, workers, client)
    async with session.post(f"{worker.url}/v1/seek", json={"partition": 0, "to": MORE - MANY}) as response:
        assert response.status == 200, await response.text()
    one = client(worker, "one")
    first = await one.take(300, ack_wait_ms=60_000)
    assert (await one.ack(*(message.lease for message in first))).acked == 300
    worker.kill9()

    worker = await workers.start(topic)
    rest = await once_each(client(worker, "two"))
    assert sorted(message.offset for message in first) + rest == list(range(MORE - MANY, MORE))
    await eventually(lambda: kafka.has_committed(ID, topic, {0: MORE}))


async def test_a_reset_of_a_stopped_group_by_kafkas_own_tool(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic, worker = await worked_off(kafka, workers, client)
    # The second time it is the very offset that the first one was, and that has been committed by us before.
    for _ in range(2):
        assert (await worker.terminate()).code == 0
        await eventually(lambda: no_member(kafka, topic))
        await asyncio.to_thread(
            kafka_tool, "consumer.group.ConsumerGroupCommand", "--bootstrap-server", kafka.brokers,
            "--group", f"fanout_{ID}_{topic}", "--topic", topic,
            "--reset-offsets", "--shift-by", str(-MANY), "--execute",
        )  # fmt: skip
        assert await kafka.committed(ID, topic) == {0: MORE - MANY}
        worker = await workers.start(topic, drain="0s")
        assert await once_each(client(worker, "two")) == list(range(MORE - MANY, MORE))
        assert f"set back from {MORE} to {MORE - MANY}" in worker.text()

    # What was reset once is not taken for a reset again, also when the floors were not committed since.
    worker.kill9()
    worker = await workers.start(topic)
    assert (await client(worker, "three").pull(wait_ms=500)).messages == []


async def test_a_topic_deleted_and_made_anew_while_the_worker_was_away(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic, worker = await worked_off(kafka, workers, client)
    worker.kill9()
    await make_anew(kafka.brokers, topic, 1)
    await kafka.produce(topic, *(f"new {number}" for number in range(MANY)))

    worker = await workers.start(topic)
    assert await once_each(client(worker, "two")) == list(range(MANY))
    await eventually(lambda: kafka.has_committed(ID, topic, {0: MANY}))
    worker.kill9()
    worker = await workers.start(topic)
    assert (await client(worker, "three").pull(wait_ms=500)).messages == []


async def worked_off(kafka: Kafka, workers: Workers, client: MakeClient) -> tuple[str, Worker]:
    """A topic of one partition whose messages are all acked, and the worker that has handed them out."""
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"v{number}" for number in range(MORE)))
    worker = await workers.start(topic, drain="0s")
    one = client(worker, "first")
    # A floor is committed in the middle too: the rows after it know of the offset to which tests wind back.
    first = (await one.pull(max_messages=MORE - MANY, wait_ms=8000)).messages
    assert (await one.ack(*(message.lease for message in first))).acked == MORE - MANY
    await eventually(lambda: kafka.has_committed(ID, topic, {0: MORE - MANY}))
    assert await once_each(one) == list(range(MORE - MANY, MORE))
    await eventually(lambda: kafka.has_committed(ID, topic, {0: MORE}))
    return topic, worker


async def once_each(client: Client) -> list[int]:
    """Pull and ack until nothing comes; the offsets, of which none may have come twice."""
    came: Counter[int] = Counter()
    wait_ms = 8000
    while messages := (await client.pull(max_messages=500, wait_ms=wait_ms, ack_wait_ms=60_000)).messages:
        came.update(message.offset for message in messages)
        assert (await client.ack(*(message.lease for message in messages))).acked == len(messages)
        wait_ms = 700
    assert set(came.values()) <= {1}
    return sorted(came)


async def no_member(kafka: Kafka, topic: str) -> bool:
    return await kafka.members(ID, topic) == 0
