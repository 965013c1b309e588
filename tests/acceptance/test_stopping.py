"""SIGTERM: in seconds, with every answer given, nothing lost and the consumer group left."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress

import aiohttp
import pytest

from support.clients import MakeClient, Pulled
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack, running_stack
from support.workers import READY_TOGETHER, Worker, Workers

ID = "service"
OPEN_PULLS = 100
#: A stop is cut short 15 s after a drain of 3 s; the rest is a busy machine's allowance.
IN_TIME = 25.0


async def test_sigterm_with_open_pulls_and_a_held_message_ends_in_seconds_and_loses_nothing(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(2)
    for partition in range(2):
        await kafka.produce(topic, *(f"{partition}/{n}" for n in range(5)), partition=partition)
    # The floors are to be in Kafka because the worker stops, not because it was time for it anyway.
    worker = await workers.start(topic, command="fanout", commit_interval="60s", drain="1s")
    busy = client(worker, "busy")
    messages = await busy.take(10, ack_wait_ms=8000)
    *to_ack, late, held = [message for message in messages if message.partition == 0]
    other = [message for message in messages if message.partition == 1]
    await busy.ack(*(message.lease for message in to_ack))

    waiting = [asyncio.create_task(client(worker, f"waiting {n}").pull(wait_ms=50_000)) for n in range(OPEN_PULLS)]
    await eventually(lambda: worker.has_waiting(OPEN_PULLS))
    worker.signal(signal.SIGTERM)
    in_hand = [busy.ack(late.lease), *(busy.ack(message.lease) for message in other)]
    settled = await asyncio.gather(*in_hand)
    exit = await worker.ended(10.0)

    assert exit.code == 0
    answers: list[Pulled] = await asyncio.gather(*waiting)
    assert {answer.status for answer in answers} <= {200, 204}
    assert [message for answer in answers for message in answer.messages] == []
    assert [(one.acked, one.results) for one in settled] == [(1, {})] * 6
    assert await kafka.committed(ID, topic) == {0: held.offset, 1: 5}
    assert await kafka.members(ID, topic) == 0

    again = client(await workers.start(topic), "again")
    assert [message.value for message in await again.take(1)] == [held.value]
    assert (await again.pull(wait_ms=500)).messages == []


async def test_a_stopping_worker_says_so_at_once_and_serves_on_for_the_drain(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    worker = await workers.start(topic, drain="1s")
    one = client(worker, "one")
    waiting = asyncio.create_task(one.pull(wait_ms=50_000))
    await eventually(lambda: worker.has_waiting(1))

    worker.signal(signal.SIGTERM)

    async def says_so() -> bool:
        async with session.get(f"{worker.url}/readyz") as response:
            return response.status == 503

    await eventually(says_so, 1.0)
    await kafka.produce(topic, "while stopping")
    message = (await waiting).one
    assert (await one.ack(message.lease)).acked == 1
    assert (await worker.ended(10.0)).code == 0

    again = client(await workers.start(topic), "again")
    assert (await again.pull(wait_ms=500)).messages == []


@pytest.mark.parametrize("said", ["created topic", "serving"], ids=["preparing", "joining"])
async def test_sigterm_before_the_worker_is_ready_ends_it_without_a_drain(
    said: str, kafka: Kafka, workers: Workers
) -> None:
    topic = await kafka.new_topic(1)
    worker = workers.launch(topic, command="fanout", drain="60s")
    await eventually(lambda: said in worker.text(), every=0.005)
    exit = await worker.terminate(10.0)
    assert exit.code == 0
    assert_quiet(worker)


async def test_sigint_is_as_good_as_sigterm(kafka: Kafka, workers: Workers, client: MakeClient) -> None:
    topic = await kafka.new_topic(1)
    worker = await workers.start(topic, command="fanout", drain="500ms")
    waiting = asyncio.create_task(client(worker, "one").pull(wait_ms=50_000))
    await eventually(lambda: worker.has_waiting(1))
    worker.signal(signal.SIGINT)
    assert (await waiting).status == 204
    assert (await worker.ended(10.0)).code == 0
    assert await kafka.members(ID, topic) == 0
    assert_quiet(worker)


async def test_further_signals_change_nothing(kafka: Kafka, workers: Workers, client: MakeClient) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "one")
    worker = await workers.start(topic, drain="1s")
    one = client(worker, "one")
    message = (await one.pull()).one
    for _ in range(3):
        worker.signal(signal.SIGTERM)
        await eventually(lambda: "SIGTERM: stopping" in worker.text())
    assert (await one.ack(message.lease)).acked == 1
    worker.signal(signal.SIGINT)
    assert (await worker.ended(10.0)).code == 0
    assert await kafka.committed(ID, topic) == {0: 1}
    assert_quiet(worker)


async def test_sigterm_in_a_rebalance_ends_in_seconds_and_loses_nothing(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(4)
    for partition in range(4):
        await kafka.produce(topic, *(f"{partition}/{n}" for n in range(5)), partition=partition)
    first = await workers.start(topic, drain="0s")
    busy = client(first, "busy")
    messages = await busy.take(20, ack_wait_ms=5000)
    acked = messages[::2]
    assert (await busy.ack(*(message.lease for message in acked))).acked == len(acked)
    second = workers.launch(topic)
    # It joins the group a moment after this, and both are in its rebalance when the first one leaves.
    await eventually(lambda: "serving" in second.text(), every=0.005)

    assert (await first.terminate(20.0)).code == 0

    await second.ready(READY_TOGETHER)
    # The leases have been handed over, and end.
    again = await client(second, "again").take(len(messages) - len(acked), ack_wait_ms=60_000)
    assert sorted(message.value or "" for message in again) == sorted(
        message.value or "" for message in messages if message not in acked
    )
    assert_quiet(first)


# Trouble --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def troubled() -> Iterator[Stack]:
    """Servers that no other test needs."""
    with running_stack() as stack:
        yield stack


@pytest.mark.parametrize(
    ("fault", "repair"),
    [("kill", "start"), pytest.param("pause", "resume", marks=pytest.mark.long)],
    ids=["killed", "hung"],
)
async def test_sigterm_with_the_broker_gone_ends_in_time_and_says_why(
    fault: str, repair: str, troubled: Stack, workers: Workers, client: MakeClient
) -> None:
    async with Kafka(troubled.brokers) as kafka:
        idle_topic, topic = await kafka.new_topic(1), await kafka.new_topic(2)
        await kafka.produce(topic, *(str(n) for n in range(10)))
    idle, worker = await asyncio.gather(
        *(workers.launch(name, brokers=troubled.brokers).ready(READY_TOGETHER) for name in (idle_topic, topic))
    )
    busy = client(worker, "busy")
    messages = await busy.take(10)
    asked = [client(worker, f"waiting {n}").pull(wait_ms=50_000) for n in range(OPEN_PULLS)]
    pulls = [asyncio.create_task(one) for one in asked]
    await eventually(lambda: worker.has_waiting(OPEN_PULLS))
    getattr(troubled, fault)("kafka-1")
    try:
        settling = asyncio.create_task(busy.ack(messages[0].lease))
        idle.signal(signal.SIGTERM)
        worker.signal(signal.SIGTERM)
        exits = await asyncio.gather(idle.ended(IN_TIME), worker.ended(IN_TIME))
    finally:
        getattr(troubled, repair)("kafka-1")
        await asyncio.gather(*pulls, settling, return_exceptions=True)
    assert [exit.code for exit in exits] == [1, 1]
    for one in (idle, worker):
        assert f"Kafka at {troubled.brokers} does not answer" in one.text().splitlines()[-1]
        assert "Traceback" not in one.text()
    assert "not every ledger could be written" in worker.text().splitlines()[-1]


async def test_sigterm_with_zookeeper_gone_ends_as_well_as_ever(
    troubled: Stack, workers: Workers, client: MakeClient
) -> None:
    async with Kafka(troubled.brokers) as kafka:
        topic = await kafka.new_topic(1)
        await kafka.produce(topic, "one")
        worker = await workers.start(
            topic, brokers=troubled.brokers, zookeepers=troubled.zookeepers, drain="0s", commit_interval="60s"
        )
        one = client(worker, "one")
        message = (await one.pull()).one
        troubled.pause("zookeeper-1")
        try:
            assert (await one.ack(message.lease)).acked == 1
            exit = await worker.terminate(IN_TIME)
        finally:
            troubled.resume("zookeeper-1")
        assert exit.code == 0
        assert await kafka.committed(ID, topic) == {0: 1}


# Faults ---------------------------------------------------------------------------------------------------------------


async def test_a_fault_of_the_intake_ends_the_worker_with_one_line(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "one")
    worker = await workers.start(topic, faults=["intake-breaks"], drain="0s")
    with suppress(aiohttp.ClientError):
        await client(worker, "one").pull(wait_ms=5000)
    assert (await worker.ended(IN_TIME)).code == 1
    [line] = beyond_the_ordinary(worker)
    assert "RuntimeError: the intake broke" in line
    assert "ending at once" not in line, "the stop hung"


async def test_a_fault_of_a_background_task_ends_the_worker_with_one_line(kafka: Kafka, workers: Workers) -> None:
    worker = workers.launch(await kafka.new_topic(1), faults=["task-breaks"], drain="0s")
    assert (await worker.ended(IN_TIME)).code == 1
    [line] = beyond_the_ordinary(worker)
    assert "RuntimeError: the task broke" in line
    assert "ending at once" not in line, "the stop hung"


@pytest.mark.parametrize(
    "suffix", ["", pytest.param("-ledgers-changelog", marks=pytest.mark.long)], ids=["source", "changelog"]
)
async def test_a_topic_deleted_under_a_worker_ends_it_with_a_line_that_names_it(
    suffix: str, kafka: Kafka, workers: Workers
) -> None:
    topic = await kafka.new_topic(1)
    worker = await workers.start(topic, drain="0s")
    deleted = f"fanout_{ID}_{topic}{suffix}" if suffix else topic
    await kafka.delete_topic(deleted)
    exit = await worker.ended(60.0)
    assert exit.code == 1
    line = beyond_the_ordinary(worker)[-1]
    assert f"topic {deleted} was deleted" in line
    assert "start it again" in line


def beyond_the_ordinary(worker: Worker) -> list[str]:
    return [line for line in worker.text().splitlines() if " INFO " not in line]


def assert_quiet(worker: Worker) -> None:
    assert beyond_the_ordinary(worker) == []
