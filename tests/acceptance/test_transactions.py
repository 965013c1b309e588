"""Transactions in the topic: what was aborted never comes, and the floor passes it like any other hole."""

from __future__ import annotations

from support.book import Book, watched_commits
from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers

ID = "service"


async def test_aborted_records_never_come_and_the_floor_passes_them(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(2)
    book = Book()
    expected = []
    for round in range(3):
        for partition in range(2):
            book.add(plain := await kafka.produce(topic, f"plain {round}/{partition}", partition=partition))
            async with kafka.transaction(topic) as committed:
                await committed.produce(f"yes {round}/{partition}", f"and {round}/{partition}", partition=partition)
            async with kafka.transaction(topic, abort=True) as aborted:
                await aborted.produce(f"no {round}/{partition}", f"never {round}/{partition}", partition=partition)
            book.add(committed.records)
            expected += [record.value for record in (*plain, *committed.records)]

    worker = await workers.start(topic)
    async with watched_commits(kafka, book, id=ID, topic=topic):
        one = client(worker, "one")
        taken = await one.take(len(expected))
        assert sorted(message.value or "" for message in taken) == sorted(expected)
        assert (await one.pull(wait_ms=300)).messages == []

        # From the last to the first: as long as the first is missing, nothing may be committed.
        for message in reversed(taken):
            book.acking(message)
            assert (await one.ack(message.lease)).acked == 1
        ends = await kafka.ends(topic, range(2))
        await eventually(lambda: kafka.has_committed(ID, topic, ends))


async def test_a_topic_that_holds_nothing_but_aborted_records_is_passed(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    for _ in range(3):
        async with kafka.transaction(topic, abort=True) as aborted:
            await aborted.produce("no", "never")
    end = (await kafka.ends(topic, [0]))[0]
    worker = await workers.start(topic)

    # Nothing is fetched while nobody asks, so somebody does.
    assert (await client(worker, "one").pull(wait_ms=1500)).messages == []
    await eventually(lambda: kafka.has_committed(ID, topic, {0: end}))


async def test_an_open_transaction_is_waited_for(fresh: Worker, kafka: Kafka, client: MakeClient) -> None:
    one = client(fresh, "one")
    async with kafka.transaction(fresh.topic) as open_one:
        await open_one.produce("in transaction")
        behind = await kafka.produce(fresh.topic, "behind it")
        assert behind[0].offset == 1
        assert (await one.pull(wait_ms=700)).messages == []
    first, second = [(await one.pull()).one for _ in range(2)]
    assert [first.value, second.value] == ["in transaction", "behind it"]
