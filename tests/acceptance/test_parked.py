"""Rejected messages over HTTP: parked, looked at and sent back, or written to a dead-letter topic."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.odd import Odd, write_batch
from support.workers import Worker, Workers

ID = "service"


async def _parked(session: aiohttp.ClientSession, worker: Worker) -> list[dict[str, Any]]:
    async with session.get(f"{worker.url}/v1/parked") as response:
        assert response.status == 200, await response.text()
        messages: list[dict[str, Any]] = (await response.json())["messages"]
        return messages


async def _redrive(session: aiohttp.ClientSession, worker: Worker, **body: Any) -> dict[str, Any]:
    async with session.post(f"{worker.url}/v1/parked/redrive", json=body) as response:
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


async def test_a_rejected_message_is_parked_and_comes_again_when_it_is_redriven(
    fresh: Worker, kafka: Kafka, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    await write_batch(kafka.brokers, fresh.topic, [Odd(key=b"k", value=b"bad", headers=[(b"h", b"\xff")])], partition=1)
    await kafka.produce(fresh.topic, "good", partition=1)
    one = client(fresh, "one")
    bad = (await one.pull()).one
    assert bad.value == base64.b64encode(b"bad").decode(), "one of its headers is no text"
    settled = await one.settle(reject=[{"lease": bad.lease, "reason": "no such user"}])
    assert (settled.rejected, settled.results) == (1, {})
    await one.ack((await one.pull()).one.lease)
    await eventually(lambda: kafka.has_committed(ID, fresh.topic, {1: 2}))

    (message,) = await _parked(session, fresh)
    assert (message["partition"], message["offset"], message["reason"]) == (1, 0, "no such user")
    assert (message["client"], message["delivery_count"]) == ("one", 1)
    assert [base64.b64decode(message[field]) for field in ("key", "value")] == [b"k", b"bad"]

    assert await _redrive(session, fresh, parked=[message["parked"], 4711]) == {"redriven": 1, "not_found": [4711]}
    again = (await one.pull(encoding="base64")).one
    assert (again.partition, again.offset, again.delivery_count) == (1, 2, 1)
    assert base64.b64decode(again.value or "") == b"bad"
    assert await _parked(session, fresh) == []


async def test_all_that_is_parked_can_be_redriven_at_any_worker(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(2)
    for partition in range(2):
        await kafka.produce(topic, *(f"{partition}/{number}" for number in range(60)), partition=partition)
    worker = await workers.start(topic, drain="0s")
    one = client(worker, "one")
    taken = await one.take(120)
    await one.settle(reject=[{"lease": message.lease} for message in taken])
    assert (await worker.terminate()).code == 0
    worker = await workers.start(topic)
    assert len(await _parked(session, worker)) == 100, "the default of a page"
    assert await _redrive(session, worker, all=True) == {"redriven": 120, "not_found": []}
    again = await client(worker, "two").take(120)
    assert sorted(message.value or "" for message in again) == sorted(message.value or "" for message in taken)
    assert all(message.offset >= 60 for message in again)


async def test_what_a_dead_letter_topic_takes_is_whatever_a_topic_may_hold(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1, max_message_bytes=str(9 << 20))
    letters = await kafka.new_topic(1, max_message_bytes=str(9 << 20))
    huge = bytes(range(256)) * (8 << 12)
    for record in (Odd(key=None, value=None), Odd(key=b"k", value=huge, headers=[(b"h", None)])):
        await write_batch(kafka.brokers, topic, [record])
    worker = await workers.start(topic, dead_letter_topic=letters)
    one = client(worker, "one")
    for _ in range(2):
        settled = await one.settle(reject=[{"lease": (await one.pull(encoding="base64")).one.lease, "reason": "no"}])
        assert (settled.rejected, settled.results) == (1, {})
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 2}))
    empty, whole = await kafka.records_in(letters)
    assert (empty.key, empty.value) == (None, None)
    assert (whole.key, whole.value) == (b"k", huge)
    assert whole.headers == (
        ("h", None), ("fanout-topic", topic.encode()), ("fanout-partition", b"0"), ("fanout-offset", b"1"),
        ("fanout-timestamp", b"1700000000000"), ("fanout-delivery-count", b"1"), ("fanout-reason", b"no"),
        ("fanout-client", b"one"),
    )  # fmt: skip


async def test_what_a_dead_letter_topic_never_takes_is_parked_instead_and_told(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    letters = await kafka.new_topic(1, max_message_bytes="1000", cleanup_policy="compact")
    large, keyless, fine = Odd(key=b"k", value=b"x" * 2000), Odd(key=None, value=b"v"), Odd(key=b"k", value=b"small")
    for record in (large, keyless, fine):
        await write_batch(kafka.brokers, topic, [record])
    worker = await workers.start(topic, dead_letter_topic=letters)
    one = client(worker, "one")
    taken = await one.take(3)
    settled = await one.settle(reject=[{"lease": message.lease} for message in taken])
    assert (settled.rejected, settled.results) == (3, {})
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 3}))

    # All three are put away at once: which refusal comes first is chance.
    assert sorted(message["offset"] for message in await _parked(session, worker)) == [0, 1]
    (letter,) = await kafka.records_in(letters)
    assert letter.value == b"small", "the producer goes on after a refusal"
    warned = [line for line in worker.text().splitlines() if " WARNING " in line]
    warned.sort(key=lambda line: line.partition("partition")[2])
    assert len(warned) == 2
    assert "partition 0/0" in warned[0]
    assert f"topic {letters} takes no message of 2001 bytes: raise its max.message.bytes" in warned[0]
    assert "partition 0/1" in warned[1]
    assert f"topic {letters} takes no message without a key" in warned[1]
