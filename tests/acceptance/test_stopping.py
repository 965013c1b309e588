"""SIGTERM: in seconds, with every answer given, nothing lost and the consumer group left."""

from __future__ import annotations

import asyncio
import signal

import aiohttp

from support.clients import MakeClient, Pulled
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Workers

ID = "service"
OPEN_PULLS = 100


async def test_sigterm_with_open_pulls_and_a_held_message_ends_in_seconds_and_loses_nothing(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(2)
    for partition in range(2):
        await kafka.produce(topic, *(f"{partition}/{n}" for n in range(5)), partition=partition)
    # The floors are to be in Kafka because the worker stops, not because it was time for it anyway.
    worker = await workers.start(topic, commit_interval="60s", drain="1s")
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


async def test_sigterm_before_the_worker_is_ready_ends_it_too(kafka: Kafka, workers: Workers) -> None:
    topic = await kafka.new_topic(1)
    worker = workers.launch(topic, drain="0s")
    await eventually(lambda: "serving" in worker.text())
    exit = await worker.terminate(10.0)
    assert exit.code == 0
