"""Shares of groups as clients see them: over HTTP, at one worker and at three."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest
import pytest_asyncio

from support.clients import Client
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack
from support.workers import READY_TOGETHER, Worker, Workers

PARTITIONS = 6
MESSAGES = 10_000
#: A key each.
KEYS = [f"key {number}" for number in range(MESSAGES)]
#: Clients of each group, and what one asks for at a time.
CLIENTS = 4
BATCH = 50
DRAINED_IN = 90.0


class Crowd:
    """Clients of both groups at all workers, who take and ack until nothing is left."""

    def __init__(self, session: aiohttp.ClientSession, workers: Sequence[Worker]) -> None:
        self.session = session
        self.workers = workers
        self.had: Counter[str] = Counter()
        self.keys: dict[str, str] = {}

    async def share(self, *, by: str, **weights: int) -> None:
        """Set this, and wait until it is so at all workers."""
        url = f"{self.workers[-1].url}/v1/canary"

        async def taken() -> bool:
            body = {"weights": weights, "by": by}
            async with self.session.put(url, json=body, headers={"If-Match": "*"}) as answer:
                return answer.status == 200

        await eventually(taken, READY_TOGETHER, every=0.2)
        for worker in self.workers:
            await eventually(lambda worker=worker: self._has(worker, by, weights))  # type: ignore[misc]

    async def _has(self, worker: Worker, by: str, weights: dict[str, int]) -> bool:
        async with self.session.get(f"{worker.url}/v1/canary") as answer:
            body = await answer.json(content_type=None)
        return bool((body["by"], body["weights"]) == (by, weights))

    async def drain(self, messages: int) -> None:
        """Take and ack so many in all; fails if they do not come in time."""
        self.had.clear()
        self.keys.clear()
        async with asyncio.timeout(DRAINED_IN), asyncio.TaskGroup() as tasks:
            for group in ("stable", "canary"):
                for number in range(CLIENTS):
                    worker = self.workers[number % len(self.workers)]
                    tasks.create_task(self._work(Client(self.session, worker, f"{group}-{number}"), group, messages))

    async def _work(self, client: Client, group: str, messages: int) -> None:
        done: list[str] = []
        while True:
            pulled = await client.pull(group=group, max_messages=BATCH, wait_ms=500, settle={"ack": done})
            assert all(message.delivery_count == 1 for message in pulled.messages)
            self.had[group] += len(pulled.messages)
            self.keys.update((message.value or "", group) for message in pulled.messages)
            if not pulled.messages and self.had.total() >= messages:
                return
            done = [pulled.batch] if pulled.batch else []


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=[1, 3], ids=["one worker", "three workers"])
async def crowd(
    request: pytest.FixtureRequest,
    stack: Stack,
    kafka: Kafka,
    session: aiohttp.ClientSession,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Crowd]:
    workers = Workers(stack.brokers, tmp_path_factory.mktemp("shares"), session)
    try:
        topic = await kafka.new_topic(PARTITIONS)
        started = [workers.launch(topic) for _ in range(request.param)]
        await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in started))
        yield Crowd(session, started)
    finally:
        workers.close()


async def produce(kafka: Kafka, topic: str) -> None:
    for partition in range(PARTITIONS):
        keys = KEYS[partition::PARTITIONS]
        await kafka.produce(topic, *keys, partition=partition, keys=keys)


async def test_five_percent_are_five_percent(crowd: Crowd, kafka: Kafka) -> None:
    await crowd.share(by="message", stable=95, canary=5)
    await produce(kafka, crowd.workers[0].topic)
    await crowd.drain(MESSAGES)
    assert crowd.had.total() == len(crowd.keys) == MESSAGES
    assert abs(crowd.had["canary"] / MESSAGES - 0.05) <= 0.005


async def test_by_key_five_percent_of_the_keys_are_the_same_ones_until_a_weight_is_another(
    crowd: Crowd, kafka: Kafka
) -> None:
    seen = []
    for canary in (5, 10, 0):
        await crowd.share(by="key", stable=95, canary=canary)
        await produce(kafka, crowd.workers[0].topic)
        await crowd.drain(MESSAGES)
        seen.append({key for key, group in crowd.keys.items() if group == "canary"})
    assert abs(len(seen[0]) / MESSAGES - 0.05) <= 0.01
    assert abs(len(seen[1]) / MESSAGES - 10 / 105) <= 0.01
    assert seen[0] < seen[1], "what it had it keeps"
    assert not seen[2], "0 means none"
