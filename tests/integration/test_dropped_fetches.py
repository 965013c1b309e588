"""Fetches that Faust drops after aiokafka has moved on: at every place where it does, nothing may be missing.

The log holds transactions, aborted ones among them, so that a hole may also be one that never had a message.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
import pytest_asyncio

from support.book import Book, watched_commits
from support.clients import Client, MakeClient
from support.crew import Crew
from support.eventually import eventually
from support.kafka import Kafka, Record
from support.stack import Stack
from support.workers import READY_TOGETHER, ShowLogs, Worker, Workers

PARTITIONS = 2
ROUNDS = 5
FAULTS = [
    "flow-stopped",
    "generation-changed",
    "hand-over-cancelled",
    "queues-cleared",
    "skipped-by-the-stream",
    "dropped-at-random",
]


@dataclass(slots=True)
class Log:
    """A topic, what is to be handed out of it, and where it ends."""

    topic: str
    expected: list[Record] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def log(kafka: Kafka) -> Log:
    """Plain records one by one, and between them transactions of both kinds. Each test reads it with its own id."""
    log = Log(await kafka.new_topic(PARTITIONS))
    for round in range(ROUNDS):
        for partition in range(PARTITIONS):
            for number in range(10):
                log.expected += await kafka.produce(log.topic, f"plain {round}.{number}", partition=partition)
            async with kafka.transaction(log.topic, abort=True) as aborted:
                await aborted.produce(f"never {round}", f"never {round}", partition=partition)
            async with kafka.transaction(log.topic) as committed:
                await committed.produce(f"first {round}", f"second {round}", partition=partition)
            log.expected += committed.records
    log.ends = await kafka.ends(log.topic, range(PARTITIONS))
    return log


@dataclass(slots=True)
class Drain:
    """A worker with a fault, and a client that takes all there is; the result is the fetches that were dropped."""

    workers: Workers
    dropped: asyncio.Task[list[dict[str, int]]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def drains(
    log: Log, kafka: Kafka, stack: Stack, session: aiohttp.ClientSession, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Drain]]:
    """All of them at once: most of what they do is waiting for what was dropped to be missed."""

    async def drain(workers: Workers, case: str, fault: str, environment: dict[str, str]) -> list[dict[str, int]]:
        worker = workers.launch(log.topic, id=case, faults=[fault], environment=environment)
        await worker.ready(READY_TOGETHER)
        await everything_comes_once(log, kafka, worker, Client(session, worker, "one"))
        return workers.dropped()

    ends = ",".join(str(log.ends[partition]) for partition in range(PARTITIONS))
    cases: list[tuple[str, str, dict[str, str]]] = [(fault, fault, {}) for fault in FAULTS]
    cases.append(("skipped-in-python", "skipped-by-the-stream", {"NO_CYTHON": "1"}))
    cases.append(("last-dropped", f"last-dropped={ends}", {}))
    drains = {}
    for case, fault, environment in cases:
        workers = Workers(stack.brokers, tmp_path_factory.mktemp(case), session)
        drains[case] = Drain(workers, asyncio.create_task(drain(workers, case, fault, environment)))
    yield drains
    for one in drains.values():
        one.dropped.cancel()
        one.workers.close()
    await asyncio.gather(*(one.dropped for one in drains.values()), return_exceptions=True)


# In Faust's own Python too: its loop over a stream exists twice, and the slow one acks what it skips.
@pytest.mark.parametrize("case", [*FAULTS, "skipped-in-python"])
async def test_what_was_dropped_is_fetched_again(case: str, drains: dict[str, Drain], show_logs: ShowLogs) -> None:
    show_logs(drains[case].workers)
    dropped = await drains[case].dropped
    assert sum(fetch["messages"] for fetch in dropped) > 0


async def test_a_dropped_last_fetch_is_noticed_though_nothing_follows_it(
    log: Log, drains: dict[str, Drain], show_logs: ShowLogs
) -> None:
    show_logs(drains["last-dropped"].workers)
    dropped = await drains["last-dropped"].dropped
    assert Counter(fetch["after"] for fetch in dropped) == Counter(2 * list(log.ends.values()))


async def everything_comes_once(log: Log, kafka: Kafka, worker: Worker, one: Client) -> None:
    """Every committed record and no other, once, with the floor never ahead of what is acked; then all is committed."""
    book = Book(log.expected)
    async with watched_commits(kafka, book, id=worker.id, topic=log.topic):
        came: list[Record] = []
        while len(came) < len(log.expected):
            pulled = await one.pull(max_messages=20, wait_ms=8000)
            assert pulled.messages, f"{len(came)} of {len(log.expected)} came"
            came += [Record(message.partition, message.offset, message.value or "") for message in pulled.messages]
            book.acking(*pulled.messages)
            assert (await one.ack(*pulled.leases)).acked == len(pulled.messages)
        assert sorted(came, key=place) == sorted(log.expected, key=place)
        await eventually(lambda: kafka.has_committed(worker.id, log.topic, log.ends))
        assert (await one.pull(wait_ms=200)).messages == []


def place(record: Record) -> tuple[int, int]:
    return record.partition, record.offset


async def test_a_rebalance_in_the_middle_of_a_fetch_loses_nothing(
    log: Log, kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    book = Book(log.expected)
    crew = Crew(book)
    first, second = (
        workers.launch(log.topic, id="rebalance", faults=["held-up=0.8"], drain="0s", session_timeout="3s")
        for _ in range(2)
    )
    for worker in (first, second):
        crew.join(await worker.ready(READY_TOGETHER))
    await eventually(second.partitions)
    async with (
        watched_commits(kafka, book, id="rebalance", topic=log.topic),
        crew.working([client(first, "one"), client(first, "two")]),
    ):
        # Who begins to read reads for seconds, and who leaves has left within one: each fetch takes about as long.
        await second.terminate()
        await eventually(lambda: len(crew.acked) == len(log.expected), 40.0)
        assert crew.acked.keys() == {(record.partition, record.offset) for record in log.expected}
        await eventually(lambda: kafka.has_committed("rebalance", log.topic, log.ends))
    assert crew.came_again == []
    assert len(await first.partitions()) == PARTITIONS
    assert sum(fetch["messages"] for fetch in workers.dropped()) > 0, "no fetch was under way in the rebalance"


async def test_a_poll_that_outlives_a_rebalance_takes_no_row_away_from_the_recovery(
    log: Log, workers: Workers, client: MakeClient
) -> None:
    """A row of the changelog is fetched once only: one that got lost would be waited for without end."""
    first = await workers.start(log.topic, id="outlived", faults=["polls-outlive-rebalances"])
    second = await workers.start(log.topic, id="outlived", drain="0s")
    await eventually(second.partitions)
    # Rows of its own, which it reads back in its next recovery.
    one = client(first, "one")
    for message in await one.take(5):
        assert (await one.ack(message.lease)).acked == 1
    await second.terminate()

    async def has_everything() -> bool:
        assert (await first.status())["degraded"] == []
        return sorted(await first.partitions()) == list(range(PARTITIONS))

    await eventually(has_everything, 8.0)
