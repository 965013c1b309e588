"""Floors are mirrored in ZooKeeper, and where Kafka knows nothing any more a worker goes on from there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack, kafka_tool
from support.workers import READY_TOGETHER, Workers
from support.zookeeper import mirrored

ID = "service"
EACH = 20
#: How long the servers are given on a busy machine for what takes them a second.
SOON = 30.0


async def test_with_group_and_changelog_gone_it_begins_at_exactly_the_mirrored_floors(
    kafka: Kafka, stack: Stack, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(2)
    for partition in (0, 1):
        await kafka.produce(topic, *(f"v{number}" for number in range(EACH)), partition=partition)
    worker = await workers.launch(topic, drain="0s", zookeepers=stack.zookeepers).ready(READY_TOGETHER)
    one = client(worker, "one")
    messages = await one.take(2 * EACH, ack_wait_ms=60_000)
    floors = {0: 7, 1: 13}
    # One above the floor is acked as well: only the ledger knew that, so it comes again.
    done = [message for message in messages if message.offset < floors[message.partition]]
    above = [message for message in messages if (message.partition, message.offset) == (0, 15)]
    assert (await one.ack(*(message.lease for message in done + above))).acked == 21
    # At once, sooner than the next second would have mirrored that.
    assert (await worker.terminate()).code == 0
    assert await has_mirrored(stack, topic, {0: (0, 7), 1: (0, 13)})
    await forget(kafka, topic)

    worker = await workers.launch(topic, drain="0s", zookeepers=stack.zookeepers).ready(READY_TOGETHER)
    again = await client(worker, "two").take(2 * EACH - 20)
    assert sorted((message.partition, message.offset) for message in again) == [
        (partition, offset) for partition, floor in floors.items() for offset in range(floor, EACH)
    ]
    assert (await client(worker, "two").pull(wait_ms=500)).messages == []
    for partition, floor in floors.items():
        said = f"partition {partition}: neither changelog nor group know an offset, starting at the mirrored {floor}"
        assert said in worker.text()


async def test_after_a_seek_back_the_mirror_has_the_new_era_and_so_has_who_starts_from_it(
    kafka: Kafka, stack: Stack, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"v{number}" for number in range(EACH)))
    worker = await workers.launch(topic, drain="0s", zookeepers=stack.zookeepers).ready(READY_TOGETHER)
    one = client(worker, "one")
    assert (await one.ack(*(message.lease for message in await one.take(EACH)))).acked == EACH
    await eventually(lambda: has_mirrored(stack, topic, {0: (0, EACH)}), SOON)
    async with session.post(f"{worker.url}/v1/seek", json={"partition": 0, "to": 5}) as response:
        assert response.status == 200, await response.text()
    await eventually(lambda: has_mirrored(stack, topic, {0: (1, 5)}), SOON)
    assert (await worker.terminate()).code == 0
    await forget(kafka, topic)

    worker = await workers.launch(topic, drain="0s", zookeepers=stack.zookeepers).ready(READY_TOGETHER)
    again = await client(worker, "two").take(EACH - 5)
    assert [message.offset for message in again] == list(range(5, EACH))
    assert (await client(worker, "two").ack(*(message.lease for message in again))).acked == EACH - 5
    await eventually(lambda: has_mirrored(stack, topic, {0: (1, EACH)}), SOON)


async def test_a_floor_that_is_mirrored_of_a_topic_that_is_gone_skips_nothing_of_the_next_one(
    kafka: Kafka, stack: Stack, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"old{number}" for number in range(EACH)))
    worker = await workers.launch(topic, drain="0s", zookeepers=stack.zookeepers).ready(READY_TOGETHER)
    one = client(worker, "one")
    assert (await one.ack(*(message.lease for message in await one.take(EACH)))).acked == EACH
    assert (await worker.terminate()).code == 0
    assert await has_mirrored(stack, topic, {0: (0, EACH)})
    await forget(kafka, topic)
    await kafka.delete_topic(topic)
    await kafka.make_topic(topic, 1)
    await kafka.produce(topic, *(f"new{number}" for number in range(2 * EACH)))

    worker = await workers.launch(topic, drain="0s", zookeepers=stack.zookeepers).ready(READY_TOGETHER)
    one = client(worker, "one")
    messages = await one.take(2 * EACH)
    assert [message.offset for message in messages] == list(range(2 * EACH))
    # It is of a higher era, so the node goes on with it.
    assert (await one.ack(*(message.lease for message in messages))).acked == 2 * EACH
    await eventually(lambda: has_mirrored(stack, topic, {0: (1, 2 * EACH)}), SOON)
    assert f"the topic was made anew, the mirrored {EACH} is of the one before" in worker.text()


async def test_with_a_key_file_a_worker_starts_and_works_without_the_zookeeper_it_should_have(
    kafka: Kafka, workers: Workers, client: MakeClient, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "v0")
    worker = await workers.launch(topic, drain="0s", zookeepers="127.0.0.1:1", lease_key_file=str(path)).ready(
        READY_TOGETHER
    )
    one = client(worker, "one")
    (message,) = await one.take(1)
    assert (await one.ack(message.lease)).acked == 1
    await eventually(lambda: "floors are not mirrored at the moment" in worker.text(), SOON)
    assert "the mirrored floors of partitions [0] cannot be read: none of 127.0.0.1:1 answers" in worker.text()


async def has_mirrored(stack: Stack, topic: str, floors: dict[int, tuple[int, int]]) -> bool:
    """For `eventually`: whether exactly this is mirrored.

    Raises:
        AssertionError: it is not.
    """
    assert await mirrored(stack.zookeepers, ID, topic) == floors
    return True


async def forget(kafka: Kafka, topic: str) -> None:
    """Take from Kafka all that it knows of where the group stands, as an operator's mistake would."""
    group = f"fanout_{ID}_{topic}"

    async def is_deserted() -> bool:
        return await kafka.members(ID, topic) == 0

    await eventually(is_deserted, SOON)
    await asyncio.to_thread(
        kafka_tool, "consumer.group.ConsumerGroupCommand", "--bootstrap-server", kafka.brokers,
        "--delete", "--group", group,
    )  # fmt: skip
    await kafka.delete_topic(f"{group}-ledgers-changelog")
    assert await kafka.committed(ID, topic) == {}
