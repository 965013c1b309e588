"""A log that is not the one that was read before is noticed, and one that is, is not taken for another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.odd import Odd, write_batch
from support.operator import make_anew, set_group_offset
from support.stack import running_stack
from support.workers import Workers

ID = "service"


async def test_a_topic_made_anew_is_read_from_its_beginning_although_it_has_grown_past_the_floor(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(2)
    for partition in range(2):
        await kafka.produce(topic, *(f"old {number}" for number in range(20)), partition=partition)
    worker = await workers.start(topic, drain="0s")
    one = client(worker, "one")
    await one.ack(*(message.lease for message in await one.take(40)))
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 20, 1: 20}))
    assert (await worker.terminate()).code == 0

    await make_anew(kafka.brokers, topic, 2)
    new = [f"new {number}" for number in range(30)]
    await kafka.produce(topic, *new, partition=1)
    worker = await workers.start(topic)

    taken = await client(worker, "two").take(30)
    assert sorted(message.value or "" for message in taken) == sorted(new)
    assert "partition 1: the floor 20 is of another log than this one" in worker.text()
    assert "partition 0: the floor 20 is beyond the end of the log 0" in worker.text()


@pytest.mark.parametrize(
    "acked",
    [[], *(pytest.param(acked, marks=pytest.mark.long) for acked in ([0], [1, 2])), [0, 1, 3]],
    ids=str,
)
async def test_a_topic_made_anew_of_which_little_was_acked_is_not_taken_for_the_old_one(
    acked: list[int], kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    """No record that could bear witness is below the floor: all came in one fetch, and the last one is not acked."""
    many = 5
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"old {number}" for number in range(many)))
    worker = await workers.start(topic, drain="0s")
    one = client(worker, "one")
    held = await one.take(many, ack_wait_ms=600_000)
    await one.ack(*(held[number].lease for number in acked))
    assert (await worker.terminate()).code == 0

    await make_anew(kafka.brokers, topic, 1)
    new = [f"new {number}" for number in range(many)]
    await kafka.produce(topic, *new)
    worker = await workers.start(topic)

    # The leases that were handed over are of messages that are no more, and settle none of those in their places.
    late = await client(worker, "one").ack(*(message.lease for message in held))
    assert set(late.results.values()) == {"gone"}
    assert len(late.results) == many
    came = await client(worker, "two").take(many)
    assert sorted(message.value or "" for message in came) == new
    assert "the topic was made anew" in worker.text()


async def test_a_topic_made_anew_under_a_worker_is_read_from_its_beginning(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"old {number}" for number in range(5)))
    worker = await workers.start(topic)
    one = client(worker, "one")
    held = await one.take(5, ack_wait_ms=600_000)
    await one.ack(*(message.lease for message in held[1:3]))

    await make_anew(kafka.brokers, topic, 1)
    new = [f"new {number:02}" for number in range(20)]
    await kafka.produce(topic, *new)
    two = client(worker, "two")
    came: set[str] = set()

    async def has_come() -> bool:
        came.update(message.value or "" for message in (await two.pull(max_messages=20, wait_ms=1000)).messages)
        return came == set(new)

    await eventually(has_come, 60.0)
    assert "the topic was made anew" in worker.text()


@pytest.mark.parametrize(
    "grown_again", [pytest.param(0, marks=pytest.mark.long), 40], ids=["cut off", "cut off and grown past the floor"]
)
async def test_a_truncated_log_is_read_on_from_where_it_is_certainly_the_old_one(
    grown_again: int, tmp_path: Path, session: aiohttp.ClientSession, client: MakeClient
) -> None:
    """Nothing that was written after the truncation is missed; of what is left of the old log little comes again."""
    with running_stack() as stack:
        async with Kafka(stack.brokers) as kafka:
            topic = await kafka.new_topic(1)
            workers = Workers(stack.brokers, tmp_path, session)
            try:
                worker = await workers.start(topic)
                one = client(worker, "one")
                for number in range(60):
                    await kafka.produce(topic, f"old {number}")
                    await one.ack((await one.pull()).one.lease)
                await eventually(lambda: kafka.has_committed(ID, topic, {0: 60}))
                worker.kill9()

                await asyncio.to_thread(stack.kill, "kafka-1")
                stack.truncate_log(topic, 40)
                await asyncio.to_thread(stack.start, "kafka-1")
                assert await kafka.ends(topic, [0]) == {0: 40}
                new = [f"new {number}" for number in range(grown_again or 5)]
                if grown_again:
                    await kafka.produce(topic, *new)
                worker = await workers.start(topic)
                if not grown_again:
                    await kafka.produce(topic, *new)

                two = client(worker, "two")
                came: list[str] = []
                while (came[-1:] or [""])[0] != new[-1]:
                    message = (await two.pull(wait_ms=8000)).one
                    await two.ack(message.lease)
                    came.append(message.value or "")
                old = [value for value in came if value.startswith("old")]
                assert came == old + new
                assert len(old) < 30, "how much is certain grows with the logarithm: at most half of it comes again"
                assert "the log was truncated" in worker.text()
                await eventually(lambda: kafka.has_committed(ID, topic, {0: 40 + len(new)}))
            finally:
                workers.close()


async def test_a_log_whose_records_stand_where_they_stood_is_gone_on_with(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    odd = [Odd(value=None), Odd(key=b"", value=b""), Odd(value=b"x", headers=[(b"caf\xe9", b"1"), (b"n", None)])]
    await write_batch(kafka.brokers, topic, odd)
    worker = await workers.start(topic, drain="0s")
    one = client(worker, "one")
    await one.ack(*(message.lease for message in await one.take(3)))
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 3}))
    assert (await worker.terminate()).code == 0

    await kafka.produce(topic, "more")
    worker = await workers.start(topic)
    two = client(worker, "two")
    assert (await two.pull()).one.value == "more"
    assert (await two.pull(wait_ms=300)).messages == []
    assert "ERROR" not in worker.text()


async def test_an_offset_set_inside_an_open_transaction_is_not_beyond_the_end(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "before")
    worker = await workers.start(topic, drain="0s")
    one = client(worker, "one")
    await one.ack((await one.pull()).one.lease)
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 1}))
    assert (await worker.terminate()).code == 0

    async with kafka.transaction(topic) as transaction:
        await transaction.produce("skipped", "skipped too", "from here")
        await kafka.produce(topic, "behind it")
        await eventually(lambda: _has_no_member(kafka, topic))
        await set_group_offset(kafka.brokers, f"fanout_{ID}_{topic}", topic, {0: 3})
        worker = await workers.start(topic)
        two = client(worker, "two")
        assert (await two.pull(wait_ms=500)).messages == []
    taken = await two.take(2)
    assert [message.value for message in taken] == ["from here", "behind it"]
    assert "ERROR" not in worker.text()
    assert "set forward from 1 to 3" in worker.text()


async def _has_no_member(kafka: Kafka, topic: str) -> bool:
    return await kafka.members(ID, topic) == 0
