"""Several workers of one id: each knows who else is there, and what any of them was asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
import pytest_asyncio

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack
from support.workers import READY_TOGETHER, Worker, Workers

PARTITIONS = 4
#: A killed worker is missed after 3 s; the rest is a busy machine's allowance.
MISSED = 15.0
#: 2 s are promised; with the same allowance.
FOLLOWED = 10.0


@pytest_asyncio.fixture
async def pair(kafka: Kafka, workers: Workers) -> tuple[Worker, Worker]:
    """Two workers that share the partitions of a topic."""
    return await pair_at(kafka, workers)


async def pair_at(kafka: Kafka, workers: Workers) -> tuple[Worker, Worker]:
    topic = await kafka.new_topic(PARTITIONS)
    first, second = [workers.launch(topic, brokers=kafka.brokers, drain="0s") for _ in range(2)]
    await asyncio.gather(first.ready(READY_TOGETHER), second.ready(READY_TOGETHER))
    return first, second


def seen(listed: dict[str, dict[str, Any]]) -> list[tuple[str, list[int]]]:
    return sorted((row["address"], row["partitions"]) for row in listed.values())


async def each_lists_both(pair: tuple[Worker, Worker]) -> bool:
    owned = [sorted(await worker.partitions()) for worker in pair]
    assert sorted(owned[0] + owned[1]) == list(range(PARTITIONS))
    there = sorted((worker.url, numbers) for worker, numbers in zip(pair, owned, strict=True))
    for worker in pair:
        listed = await worker.workers()
        assert seen(listed) == there
        assert [row["address"] for row in listed.values() if row["me"]] == [worker.url]
        assert len({row["generation"] for row in listed.values()}) == 1
    return True


async def lists_itself_alone(worker: Worker) -> bool:
    return [row["address"] for row in (await worker.workers()).values()] == [worker.url]


async def test_each_lists_both_and_one_that_is_killed_is_missed(pair: tuple[Worker, Worker]) -> None:
    await eventually(lambda: each_lists_both(pair), READY_TOGETHER)
    first, second = pair
    second.kill9()
    assert len(await first.workers()) == 2, "nothing has told it so yet"
    await eventually(lambda: lists_itself_alone(first), MISSED)


async def test_one_that_stops_is_off_the_list_before_it_could_have_been_missed(
    pair: tuple[Worker, Worker], kafka: Kafka, workers: Workers
) -> None:
    await eventually(lambda: each_lists_both(pair), READY_TOGETHER)
    first, second = pair
    (name,) = [name for name, row in (await second.workers()).items() if row["me"]]
    unheard = 0

    async def is_off() -> bool:
        nonlocal unheard
        row = (await first.workers()).get(name)
        unheard = row["unheard_ms"] if row is not None else unheard
        return row is None

    assert (await second.terminate()).code == 0
    await eventually(is_off, MISSED, every=0.01)
    assert unheard < 2500, "it was missed instead of having left"

    board = [record for record in await kafka.records_in(f"fanout_service_{first.topic}") if record.key is not None]
    last = [record.value for record in board if record.key == f"worker/{name}".encode()][-1]
    assert last is None

    later = await workers.launch(first.topic).ready(READY_TOGETHER)
    assert name not in await later.workers()


async def test_a_pause_of_one_is_a_pause_of_all_and_so_is_a_resume(
    pair: tuple[Worker, Worker], kafka: Kafka, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    await eventually(lambda: each_lists_both(pair), READY_TOGETHER)

    async def ask(worker: Worker, what: str) -> None:
        async with session.post(f"{worker.url}/v1/{what}") as response:
            assert await response.json() == {"paused": what == "pause"}

    async def all_paused(paused: bool) -> bool:
        return [(await worker.status())["paused"] for worker in pair] == [paused, paused]

    await ask(pair[0], "pause")
    await eventually(lambda: all_paused(True), FOLLOWED)
    for partition in range(PARTITIONS):
        await kafka.produce(pair[0].topic, str(partition), partition=partition)
    waiting = [asyncio.create_task(client(worker, "one").pull(wait_ms=50_000)) for worker in pair]
    await eventually(lambda: pair[0].has_waiting(2))
    answers = [await client(worker, "other").pull(wait_ms=300) for worker in pair]
    assert [(answer.status, answer.empty) for answer in answers] == [(204, "paused")] * 2

    await ask(pair[1], "resume")
    assert [len((await pull).messages) for pull in waiting] == [1, 1]
    await eventually(lambda: all_paused(False))


async def test_while_kafka_is_away_each_misses_the_other_and_they_find_each_other_again(
    kafkas: Kafka, own_stack: Stack, workers: Workers
) -> None:
    pair = await pair_at(kafkas, workers)
    await eventually(lambda: each_lists_both(pair), READY_TOGETHER)
    own_stack.pause("kafka-1")
    try:
        for worker in pair:
            await eventually(partial(lists_itself_alone, worker), MISSED)
            await eventually(partial(says, worker, "Kafka takes no heartbeat of this worker"), MISSED)
    finally:
        own_stack.resume("kafka-1")
    await eventually(lambda: each_lists_both(pair), READY_TOGETHER)
    for worker in pair:
        await eventually(partial(says, worker, "Kafka takes heartbeats of this worker again"))
        assert worker.text().count("heartbeat") == 2


def says(worker: Worker, line: str) -> bool:
    return line in worker.text()


async def test_what_nobody_with_the_lease_key_has_written_makes_no_worker(
    fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession
) -> None:
    board = f"fanout_service_{fresh.topic}"
    await eventually(lambda: lists_itself_alone(fresh))
    genuine = [record for record in await kafka.records_in(board) if (record.key or b"").startswith(b"worker/")][-1]
    assert genuine.headers

    async def dropped() -> float:
        async with session.get(f"{fresh.url}/metrics") as response:
            found = re.search(r"^fanout_board_dropped_total (\S+)$", await response.text(), re.MULTILINE)
            assert found
            return float(found[1])

    assert await dropped() == 0
    await kafka.write(board, key=b"worker/unsealed", value=genuine.value)
    await kafka.write(board, key=b"worker/sealed-for-another", value=genuine.value, headers=genuine.headers)
    await kafka.write(board, key=genuine.key, value=None)
    await eventually(lambda: dropped_all(dropped, 3))
    assert await lists_itself_alone(fresh)


async def dropped_all(dropped: Callable[[], Awaitable[float]], count: int) -> bool:
    return await dropped() == count
