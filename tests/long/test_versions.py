"""Two versions in one cluster, as in a rolling update: workers of each come and go, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from support.book import Book, watched_commits
from support.clients import MakeClient
from support.crew import Crew
from support.earlier import earlier_bin
from support.eventually import eventually
from support.kafka import Kafka, Record
from support.workers import BIN, READY_TOGETHER, Worker, Workers

ID = "service"
PARTITIONS = 4
#: The last commit whose rows say nothing of leases.
BEFORE = "ebee9b2"
#: Seconds that both serve.
TOGETHER = 60.0


async def test_a_worker_of_the_version_before_serves_beside_one_of_this(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    versions = {"this": BIN, "before": earlier_bin(BEFORE)}
    topic = await kafka.new_topic(PARTITIONS)
    book = Book()
    crew = Crew(book)
    running: dict[str, Worker] = {}
    handed_out = dict.fromkeys(versions, 0)

    async def start(version: str) -> None:
        running[version] = await workers.launch(topic, bin=versions[version], drain="500ms").ready(READY_TOGETHER)
        crew.join(running[version])

    async def stop(version: str) -> None:
        worker = running.pop(version)
        crew.leave(worker)
        assert (await worker.terminate(20.0)).code == 0
        handed_out[version] += crew.handed_out[worker]

    await start("this")
    async with (
        watched_commits(kafka, book, id=ID, topic=topic),
        produced(kafka, topic, book) as records,
        crew.working([client(running["this"], name) for name in ("one", "two", "three")]),
    ):
        ends = monotonic() + TOGETHER
        await start("before")
        while monotonic() < ends:
            for version in versions:
                served = running[version]
                before = crew.handed_out[served]
                await eventually(lambda served=served, before=before: crew.handed_out[served] > before + 50, 30.0)  # type: ignore[misc]
                await stop(version)
                await start(version)
        await stop("before")
        records.stop()
        await eventually(lambda: records.done and len(crew.acked) == len(records.all), 60.0)
        assert crew.acked.keys() == {(record.partition, record.offset) for record in records.all}
        ends_at = await kafka.ends(topic, range(PARTITIONS))
        await eventually(lambda: kafka.has_committed(ID, topic, ends_at), 20.0)
    assert crew.came_again == []
    handed_out["this"] += crew.handed_out[running["this"]]
    assert min(handed_out.values()) > 100, handed_out


class Records:
    """What has been produced so far."""

    def __init__(self) -> None:
        self.all: list[Record] = []
        self.done = False
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True

    async def produce(self, kafka: Kafka, topic: str, book: Book) -> None:
        number = 0
        while not self._stopping:
            for partition in range(PARTITIONS):
                written = await kafka.produce(topic, *(f"{number}-{n}" for n in range(5)), partition=partition)
                book.add(written)
                self.all.extend(written)
            number += 1
            await asyncio.sleep(0.05)
        self.done = True


@asynccontextmanager
async def produced(kafka: Kafka, topic: str, book: Book) -> AsyncIterator[Records]:
    records = Records()
    producing = asyncio.create_task(records.produce(kafka, topic, book))
    try:
        yield records
    finally:
        records.stop()
        await producing
