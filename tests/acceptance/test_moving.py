"""Partitions that move between workers: nothing is missing, and a token from before gets a definite answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from support.book import Book, watched_commits
from support.clients import Delivery, MakeClient, Settled
from support.crew import Crew
from support.eventually import eventually
from support.kafka import Kafka, Record
from support.workers import Worker, Workers

ID = "service"
PARTITIONS = 4
DEFINITE = {"late", "already_settled", "retry"}


@pytest.mark.parametrize("end", ["SIGTERM", "kill -9"])
async def test_nothing_is_missing_when_a_worker_joins_and_leaves_in_the_middle(
    end: str, kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    book = Book()
    crew = Crew(book)
    records: list[Record] = []
    enough = asyncio.Event()

    async def produce() -> None:
        """Go on for as long as workers come and go, so that there is traffic at every moment of it."""
        number = 0
        while not enough.is_set():
            for partition in range(PARTITIONS):
                written = await kafka.produce(topic, *(f"{number}-{n}" for n in range(5)), partition=partition)
                book.add(written)
                records.extend(written)
            number += 1
            await asyncio.sleep(0.02)

    first = await workers.start(topic)
    crew.join(first)
    async with (
        watched_commits(kafka, book, id=ID, topic=topic),
        asyncio.TaskGroup() as group,
        crew.working([client(first, "one"), client(first, "two")]),
    ):
        producing = group.create_task(produce())
        await eventually(lambda: crew.handed_out[first] > 100)

        second = await workers.start(topic, drain="500ms")
        crew.join(second)
        await eventually(lambda: crew.handed_out[second] > 100)

        crew.leave(second)
        if end == "SIGTERM":
            assert (await second.terminate(10.0)).code == 0
        else:
            second.kill9()
        before = crew.handed_out[first]
        await eventually(partial(has_all_partitions, first), 10.0)
        await eventually(lambda: crew.handed_out[first] > before + 100)
        enough.set()
        await producing

        produced = {(record.partition, record.offset) for record in records}
        await eventually(lambda: len(crew.acked) == len(produced), 15.0)
        assert crew.acked.keys() == produced

        ends = await kafka.ends(topic, range(PARTITIONS))
        await eventually(lambda: kafka.has_committed(ID, topic, ends))
    assert crew.came_again == []
    assert set(crew.statuses) <= DEFINITE


async def has_all_partitions(worker: Worker) -> bool:
    status = await worker.status()
    return not status["degraded"] and len(await worker.partitions()) == PARTITIONS


async def test_tokens_from_before_a_move_count_at_the_new_owner_and_back_at_the_old_one(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    book = Book()
    for partition in range(PARTITIONS):
        book.add(await kafka.produce(topic, "first", "second", partition=partition))
    async with watched_commits(kafka, book, id=ID, topic=topic):
        first = await workers.start(topic)
        one = client(first, "one")
        held = {(message.partition, message.offset): message for message in await one.take(2 * PARTITIONS)}

        second = await workers.start(topic, drain="500ms")
        await eventually(partial(share_all_partitions, first, second))
        moved = sorted(await second.partitions())
        assert 0 < len(moved) < PARTITIONS

        # The first message of each partition, at the new owner; of those that stayed, at the old one.
        for partition in range(PARTITIONS):
            message = held[partition, 0]
            book.acking(message)
            await acked_somewhere(one.ack, message, [second, first])

        assert (await second.terminate(10.0)).code == 0
        await eventually(partial(has_all_partitions, first))
        for partition in moved:
            message = held[partition, 1]
            book.acking(message)
            settled = await one.ack(message.lease, at=first)
            assert (settled.acked, settled.results) == (1, {}), "handed over, so it is live still"

        stayed = [held[partition, 1] for partition in range(PARTITIONS) if partition not in moved]
        book.acking(*stayed)
        settled = await one.ack(*(message.lease for message in stayed), at=first)
        assert settled.acked == len(stayed)
        assert (await client(first, "other").pull(wait_ms=500)).messages == []
        await eventually(lambda: kafka.has_committed(ID, topic, dict.fromkeys(range(PARTITIONS), 2)))


async def test_a_worker_that_wakes_up_late_takes_no_ack_that_does_not_count(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    first = await workers.start(topic)
    second = await workers.start(topic)
    await eventually(partial(share_all_partitions, first, second))
    lost = min(await first.partitions())
    book = Book(await kafka.produce(topic, *(f"held {number}" for number in range(12)), partition=lost))
    async with watched_commits(kafka, book, id=ID, topic=topic):
        one = client(first, "one")
        held = await one.take(12, ack_wait_ms=60_000)
        before, asleep, never = held[:2], held[2:10], held[10:]
        book.acking(*before)
        assert (await one.ack(*(message.lease for message in before))).acked == len(before)
        first.pause()
        await eventually(partial(has_all_partitions, second))
        new = await kafka.produce(topic, "new", partition=lost)
        # Sent while it sleeps, so that they are the first things it sees when it wakes up.
        book.acking(*before, *asleep)
        acking = [asyncio.create_task(one.ack(message.lease)) for message in [*before, *asleep]]
        pulling = asyncio.create_task(client(first, "two").pull(wait_ms=500))
        await asyncio.sleep(0)
        first.resume()

        results = [settled.results for settled in await asyncio.gather(*acking)]
        answered = {
            message.offset: result.get(message.lease, "done")
            for message, result in zip([*before, *asleep], results, strict=True)
        }
        # What was durable before may be told; late only once it is back in the group and has the partition again.
        assert {answered[message.offset] for message in before} <= {"retry", "already_settled"}
        assert {answered[message.offset] for message in asleep} <= {"retry", "late"}
        counted = {offset for offset, status in answered.items() if status != "retry"}
        came = {message.offset: message for message in (await pulling).messages}

        async def all_came() -> bool:
            for worker in (first, second):
                pulled = await client(worker, "other").pull(wait_ms=200, max_messages=20)
                came.update((message.offset, message) for message in pulled.messages)
            # Whether an ack that is to be sent again has counted, nobody knows.
            return {*(message.offset for message in never), new[0].offset} <= came.keys()

        await eventually(all_came)
        assert not came.keys() & {*counted, *(message.offset for message in before)}
        for message in asleep:
            await acked_somewhere(one.ack, message, [first, second])
        book.acking(*came.values())
        for message in came.values():
            await acked_somewhere(one.ack, message, [first, second])
        await eventually(lambda: kafka.has_committed(ID, topic, {lost: new[0].offset + 1}))


async def share_all_partitions(first: Worker, second: Worker) -> bool:
    """The rebalance is over, and each of them has some."""
    for worker in (first, second):
        assert not (await worker.status())["degraded"]
    owned = [set(await worker.partitions()) for worker in (first, second)]
    return all(owned) and sorted(owned[0] | owned[1]) == list(range(PARTITIONS))


async def acked_somewhere(ack: Callable[..., Awaitable[Settled]], message: Delivery, workers: list[Worker]) -> None:
    """Each worker gives a definite answer, and one of them takes the ack."""
    statuses = []
    for worker in workers:
        settled = await ack(message.lease, at=worker)
        statuses.append(settled.results.get(message.lease, "done"))
        if statuses[-1] != "retry":
            break
    assert statuses[-1] in {"late", "done", "already_settled"}, statuses
