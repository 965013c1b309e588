"""Partitions that are added to the topic of running workers: served as soon as the changelog has them too."""

from __future__ import annotations

import asyncio
from functools import partial

import aiohttp

from support.book import Book, watched_commits
from support.clients import MakeClient
from support.crew import Crew
from support.eventually import eventually
from support.kafka import Kafka, Record
from support.workers import READY_TOGETHER, Worker, Workers

ID = "service"
BEFORE, AFTER = 2, 4
#: What the design allows is 30 s.
IN_TIME = 30.0


async def test_two_workers_under_load_serve_partitions_that_are_added(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(BEFORE)
    changelog = f"fanout_{ID}_{topic}-ledgers-changelog"
    await kafka.produce(topic, "too early")
    # What is in a partition that comes later is all new, also for who begins behind the last message.
    pair = [workers.launch(topic, start_from="latest") for _ in range(2)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
    await eventually(partial(serve, pair, BEFORE))
    book = Book(await kafka.produce(topic, "held"))
    holds = client(pair[0], "holds")
    held = (await holds.pull(ack_wait_ms=600_000)).one
    crew = Crew(book)
    records: list[Record] = []
    served = BEFORE
    enough = asyncio.Event()

    async def produce() -> None:
        while not enough.is_set():
            for partition in range(served):
                written = await kafka.produce(topic, "one", "two", partition=partition)
                book.add(written)
                records.extend(written)
            await asyncio.sleep(0.05)

    for worker in pair:
        crew.join(worker)
    async with (
        watched_commits(kafka, book, id=ID, topic=topic),
        asyncio.TaskGroup() as group,
        crew.working([client(pair[0], "one"), client(pair[1], "two")]),
    ):
        producing = group.create_task(produce())
        await eventually(lambda: min(crew.handed_out[worker] for worker in pair) > 50)
        await kafka.add_partitions(topic, AFTER)
        first = await kafka.produce(topic, "the first of all", partition=AFTER - 1)
        book.add(first)
        records.extend(first)
        served = AFTER
        await eventually(partial(serve, pair, AFTER), IN_TIME)
        for worker in pair:  # whoever has the last of them, both know how many there are
            await eventually(partial(refuses_a_seek_past, AFTER, worker, session), IN_TIME)
        assert await kafka.partitions(changelog) == AFTER
        await eventually(lambda: {number for number, _ in crew.acked} == set(range(AFTER)), IN_TIME)
        enough.set()
        await producing
        # A rebalance or two are no reason to take it from its client.
        book.acking(held)
        settled = await holds.ack(held.lease)
        assert (settled.acked, settled.results) == (1, {})
        produced = {(record.partition, record.offset) for record in records}
        await eventually(lambda: len(crew.acked) >= len(produced), 20.0)
        assert crew.acked.keys() == produced
        ends = await kafka.ends(topic, range(AFTER))
        await eventually(lambda: kafka.has_committed(ID, topic, ends))
    assert crew.came_again == []
    told = [line for worker in pair for line in worker.text().splitlines() if " INFO " not in line]
    # A busy machine may keep the coordinator's answer from a worker for 2 s: it says so, and that is not our matter.
    assert [line for line in told if "group's coordinator" not in line] == []


async def test_a_start_gives_a_changelog_with_too_few_partitions_as_many_as_the_source(
    kafka: Kafka, workers: Workers
) -> None:
    topic = await kafka.new_topic(3)
    changelog = f"fanout_{ID}_{topic}-ledgers-changelog"
    await kafka.make_topic(changelog, 1, cleanup_policy="compact")
    pair = [workers.launch(topic) for _ in range(2)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
    assert await kafka.partitions(changelog) == 3
    await eventually(partial(serve, pair, 3))


async def refuses_a_seek_past(partitions: int, worker: Worker, session: aiohttp.ClientSession) -> bool:
    """Of the first partition that is not there."""
    async with session.post(f"{worker.url}/v1/seek", json={"to": "latest", "partition": partitions}) as response:
        assert response.status == 400
        return f"the topic has {partitions}, " in (await response.json())["detail"]


async def serve(workers: list[Worker], partitions: int) -> bool:
    """They share so many partitions."""
    owned = [number for worker in workers for number in await worker.partitions()]
    return sorted(owned) == list(range(partitions))
