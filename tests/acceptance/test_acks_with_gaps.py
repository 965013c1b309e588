"""Acks in any order, holes in the log, and the hardest end: what was acked durably never comes again, all else does."""

from __future__ import annotations

import time
from functools import partial

from support.book import Book, watched_commits
from support.clients import Delivery, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers

ID = "service"


def offsets(messages: list[Delivery]) -> list[int]:
    return [message.offset for message in messages]


def by_offset(messages: list[Delivery]) -> dict[int, Delivery]:
    return {message.offset: message for message in messages}


async def settled_above_floor(worker: Worker, count: int) -> bool:
    return bool((await worker.partitions())[0]["settled_above_floor"] == count)


async def test_hole_02_after_kill_9_what_was_not_acked_and_what_was_written_meanwhile_comes(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(2)
    records = [
        record
        for partition in range(2)
        for record in await kafka.produce(topic, *(f"{partition}/{n}" for n in range(20)), partition=partition)
    ]
    book = Book(records)
    async with watched_commits(kafka, book, id=ID, topic=topic):
        one = client(await workers.start(topic), "one")
        taken = await one.take(len(records))
        to_ack = [message for message in taken if message.offset % 3 != 2 and message.offset > 1]
        book.acking(*to_ack)
        settled = await one.ack(*(message.lease for message in to_ack))
        assert (settled.acked, settled.results) == (len(to_ack), {})
        workers.all[-1].kill9()
        meanwhile = await kafka.produce(topic, *(f"meanwhile {n}" for n in range(5)))
        book.add(meanwhile)

        # Asked to begin at the latest, it knows that it has begun long ago.
        two = client(await workers.start(topic, start_from="latest"), "two")
        unacked = [message.value or "" for message in taken if message not in to_ack]
        expected = sorted(unacked + [record.value for record in meanwhile])
        again = await two.take(len(expected))
        assert sorted(message.value or "" for message in again) == expected
        assert (await two.pull(wait_ms=500)).messages == []

        book.acking(*again)
        await two.ack(*(message.lease for message in again))
        await eventually(lambda: kafka.has_committed(ID, topic, {0: 25, 1: 20}))


async def test_an_ack_that_was_answered_survives_a_kill_9_in_the_same_moment(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"v{n}" for n in range(60)))
    one = client(await workers.start(topic), "one")
    taken = await one.take(60)

    # One by one, so that the last answer is as young as can be when the process ends.
    for offset in range(0, 60, 2):
        assert (await one.ack(taken[offset].lease)).acked == 1
    workers.all[-1].kill9()

    two = client(await workers.start(topic), "two")
    assert offsets(await two.take(30)) == list(range(1, 60, 2))
    assert (await two.pull(wait_ms=500)).messages == []


async def test_d04a_holes_left_by_compaction_count_as_settled(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(
        1, cleanup_policy="compact", segment_ms="1000", min_cleanable_dirty_ratio="0.001", max_compaction_lag_ms="50"
    )
    # Of 2 to 5 and of 6 to 9 only the last stays. Compaction spares the open segment: a record from later begins one.
    keys = ["a", "b", *"cccc", *"dddd"]
    await kafka.produce(topic, *keys, keys=keys)
    await kafka.produce(topic, "e", keys=["e"], timestamp_ms=int(time.time() * 1000) + 10_000)
    existing = [0, 1, 5, 9, 10]

    async def compacted() -> bool:
        return await kafka.offsets_in(topic) == existing

    await eventually(compacted, 20.0)

    worker = await workers.start(topic)
    one = client(worker, "one")
    taken = by_offset(await one.take(5))
    assert list(taken) == existing
    for offset in (9, 0, 5, 1):
        settled = await one.ack(taken[offset].lease)
        assert (settled.acked, settled.results) == (1, {})
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 10}))
    await one.ack(taken[10].lease)
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 11}))
    row = (await worker.partitions())[0]
    assert (row["in_flight"], row["buffered"], row["settled_above_floor"]) == (0, 0, 0)


async def test_d04b_an_unacked_message_right_behind_a_hole_comes_again(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    book = Book(await kafka.produce(topic, *(f"v{n}" for n in range(4))))
    async with watched_commits(kafka, book, id=ID, topic=topic):
        one = client(await workers.start(topic), "one")
        first = await one.take(4)
        book.acking(*first)
        await one.ack(*(message.lease for message in first))
        await eventually(lambda: kafka.has_committed(ID, topic, {0: 4}))

        # Offset 4, then an aborted record at 5 with its marker at 6: the hole; then 7 and 8.
        book.add(await kafka.produce(topic, "v4"))
        async with kafka.transaction(topic, abort=True) as aborted:
            await aborted.produce("never")
        book.add(await kafka.produce(topic, "v7", "v8"))
        taken = by_offset(await one.take(3))
        assert list(taken) == [4, 7, 8]
        book.acking(taken[8], taken[4])
        await one.ack(taken[8].lease, taken[4].lease)
        workers.all[-1].kill9()

        two = client(await workers.start(topic), "two")
        assert offsets(await two.take(1)) == [7]
        assert (await two.pull(wait_ms=500)).messages == []


async def test_d04c_an_ack_far_ahead_on_the_very_first_start_commits_nothing(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    book = Book(await kafka.produce(topic, *(f"v{n}" for n in range(6))))
    async with watched_commits(kafka, book, id=ID, topic=topic):
        worker = await workers.start(topic)
        one = client(worker, "one")
        taken = await one.take(6)
        book.acking(taken[5])
        await one.ack(taken[5].lease)
        await eventually(partial(settled_above_floor, worker, 1))
        worker.kill9()

        two = client(await workers.start(topic), "two")
        assert offsets(await two.take(5)) == [0, 1, 2, 3, 4]
        assert (await two.pull(wait_ms=500)).messages == []


async def test_d04d_an_unacked_message_at_the_committed_offset_comes_again(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    book = Book(await kafka.produce(topic, *(f"v{n}" for n in range(10))))
    async with watched_commits(kafka, book, id=ID, topic=topic):
        one = client(await workers.start(topic), "one")
        first = await one.take(10)
        book.acking(*first)
        await one.ack(*(message.lease for message in first))
        await eventually(lambda: kafka.has_committed(ID, topic, {0: 10}))
        book.add(await kafka.produce(topic, "v10", "v11"))
        taken = by_offset(await one.take(2))
        book.acking(taken[11])
        await one.ack(taken[11].lease)
        workers.all[-1].kill9()

        two = client(await workers.start(topic), "two")
        assert offsets(await two.take(1)) == [10]
        assert (await two.pull(wait_ms=500)).messages == []
