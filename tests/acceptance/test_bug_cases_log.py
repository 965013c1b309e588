"""Faults that others met, by their numbers: what is in the log, and what is not in it any more."""

from __future__ import annotations

import re
from time import monotonic

import aiohttp
import pytest

from support.book import Book, watched_commits
from support.clients import Delivery, MakeClient, Pulled
from support.eventually import eventually
from support.kafka import Kafka
from support.odd import Odd, write_batch
from support.process import resident
from support.stack import running_stack
from support.workers import Worker, Workers

ID = "service"
MB = 1 << 20


def errors(worker: Worker) -> list[str]:
    return [line for line in worker.text().splitlines() if " ERROR " in line]


async def lost_to_retention(worker: Worker, session: aiohttp.ClientSession) -> int:
    async with session.get(f"{worker.url}/metrics") as response:
        match = re.search(r"^fanout_lost_to_retention_total(?:\{[^}]*\})? (\S+)$", await response.text(), re.MULTILINE)
    assert match is not None
    return int(float(match[1]))


async def test_d05_what_retention_has_deleted_past_the_committed_offset_is_counted_and_passed(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    book = Book(await kafka.produce(topic, *(f"v{n}" for n in range(510))))
    async with watched_commits(kafka, book, id=ID, topic=topic):
        one = client(await workers.start(topic), "one")
        taken = await one.take(100)
        book.acking(*taken)
        await one.ack(*(message.lease for message in taken))
        await eventually(lambda: kafka.has_committed(ID, topic, {0: 100}))
        workers.all[-1].kill9()
    await kafka.delete_below(topic, {0: 500})

    worker = await workers.start(topic)

    two = client(worker, "two")
    rest = await two.take(10)
    assert [message.offset for message in rest] == list(range(500, 510))
    (line,) = errors(worker)
    assert "partition 0" in line
    assert "400" in line
    assert await lost_to_retention(worker, session) == 400
    # What was held below is gone for good, and says so; what was acked needs nothing more.
    assert (await two.ack(taken[0].lease)).results == {taken[0].lease: "already_settled"}
    await two.ack(*(message.lease for message in rest))
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 510}))
    assert len(worker.text().splitlines()) < 20


async def test_d05_the_same_while_the_worker_runs_and_nobody_pulls(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    # So large and so few that most of them are still in Kafka when they are deleted.
    await kafka.produce(topic, *(f"{n}".ljust(20_000) for n in range(510)))
    worker = await workers.start(topic, max_ack_pending="20")
    one = client(worker, "one")
    kept: dict[int, Delivery] = {}
    for offset in range(100):
        message = (await one.pull(ack_wait_ms=2000)).one
        assert message.offset == offset
        if offset < 98:
            await one.ack(message.lease)
        else:
            kept[offset] = message
    late, held = kept[98], kept[99]
    await one.extend(held.lease, ack_wait_ms=60_000)

    async def the_lease_has_ended() -> bool:
        return bool((await worker.status())["in_flight"] == 1)

    await eventually(the_lease_has_ended)
    await kafka.delete_below(topic, {0: 500})

    # Both are below the start of the log by now, and both are done as they would have been.
    assert (await one.ack(held.lease)).acked == 1
    assert (await one.ack(late.lease)).results == {late.lease: "late"}
    came: dict[int, Delivery] = {}

    async def the_last_one_came() -> bool:
        pulled = await one.pull(wait_ms=300, max_messages=100)
        assert not came.keys() & {message.offset for message in pulled.messages}
        came.update((message.offset, message) for message in pulled.messages)
        await one.ack(*pulled.leases)
        return 509 in came

    await eventually(the_last_one_came, 20.0)
    assert set(range(500, 510)) <= came.keys()
    below = [offset for offset in came if offset < 500]
    assert sorted(below) == list(range(100, 100 + len(below))), "held in memory when they were deleted: none is missing"
    assert 0 < 400 - len(below) == await lost_to_retention(worker, session)
    (line,) = errors(worker)
    assert "partition 0" in line
    assert f" {400 - len(below)} " in line
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 510}))
    assert len(worker.text().splitlines()) < 20


@pytest.mark.long
async def test_d05_a_hole_of_fifty_million_costs_neither_time_nor_memory(
    session: aiohttp.ClientSession, client: MakeClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    width = 50_000_000
    with running_stack(zookeeper=0) as stack:
        workers = Workers(stack.brokers, tmp_path_factory.mktemp("wide"), session)
        try:
            async with Kafka(stack.brokers) as kafka:
                topic = await kafka.new_topic(1)
                await kafka.produce(topic, *(f"v{n}" for n in range(200)))
                plain = await workers.start(topic)
                one = client(plain, "one")
                taken = await one.take(100)
                # A gap above the floor, so that there is a floor with something settled above it.
                await one.ack(*(message.lease for message in taken if message.offset != 50))
                await eventually(lambda: kafka.has_committed(ID, topic, {0: 50}))
                usual = resident(plain.pid)
                plain.kill9()
            stack.kill("kafka-1")
            stack.begin_log_at(topic, width)
            stack.start("kafka-1")
            async with Kafka(stack.brokers) as kafka:
                await kafka.produce(topic, *(f"late {n}" for n in range(10)))
                began = monotonic()
                worker = await workers.start(topic)
                two = client(worker, "two")
                rest = await two.take(10)
                assert monotonic() - began < 10.0
                assert [message.offset for message in rest] == list(range(width, width + 10))
                # 50 and 100 to the end of the hole: the other 99 were acked.
                lost = width - 99
                assert await lost_to_retention(worker, session) == lost
                (line,) = errors(worker)
                assert str(lost) in line
                await two.ack(*(message.lease for message in rest))
                await eventually(lambda: kafka.has_committed(ID, topic, {0: width + 10}))
                assert resident(worker.pid) < usual + 40 * MB
        finally:
            workers.close()


async def test_d06_null_and_empty_are_delivered_and_can_be_told_apart(
    fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession, client: MakeClient
) -> None:
    await write_batch(
        kafka.brokers,
        fresh.topic,
        [
            Odd(key=b"k", value=None),
            Odd(key=None, value=b""),
            Odd(key=b"", value=b"two", headers=[(b"trace-id", None)]),
            Odd(key=b"k", value=b"plain", headers=[(b"trace-id", b"")]),
        ],
    )
    seen = []
    leases = []
    for _ in range(4):
        body = {"client": "one", "encoding": "utf8", "wait_ms": 5000}
        async with session.post(f"{fresh.url}/v1/pull", json=body) as response:
            assert response.status == 200
            (message,) = (await response.json())["messages"]
        seen.append((message["key"], message["value"], message["headers"]))
        leases.append(message["lease"])
    assert seen == [
        ("k", None, []),
        (None, "", []),
        ("", "two", [["trace-id", None]]),
        ("k", "plain", [["trace-id", ""]]),
    ]
    assert (await client(fresh, "one").ack(*leases)).acked == 4
    await eventually(lambda: kafka.has_committed(ID, fresh.topic, {0: 4}))


async def test_d06_the_same_for_curl(fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession) -> None:
    await write_batch(kafka.brokers, fresh.topic, [Odd(key=b"k", value=None), Odd(key=None, value=b"")])
    for null, key in ((True, ":aw==:"), (False, None)):
        async with session.post(f"{fresh.url}/v1/next?client=curl&wait_ms=5000") as response:
            assert (response.status, await response.read()) == (200, b"")
            assert response.headers.get("Fanout-Null") == ("1" if null else None)
            assert response.headers.get("Kafka-Key") == key
            location = response.headers["Location"]
        async with session.delete(fresh.url + location) as response:
            assert response.status == 204
    await eventually(lambda: kafka.has_committed(ID, fresh.topic, {0: 2}))


@pytest.mark.parametrize("size", [900_000, 20_000_000])
async def test_d07_a_message_larger_than_what_a_client_takes_is_handed_over_alone(
    size: int, kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1, max_message_bytes=str(size + 1_000_000))
    values = ["a" * 10, "b" * size, "c" * 10]
    await kafka.produce(topic, *values)
    worker = await workers.start(topic)
    one = client(worker, "one")

    answers: list[Pulled] = []
    while sum(len(answer.messages) for answer in answers) < 3:
        answers.append(await one.pull(wait_ms=8000, max_messages=10, max_bytes=64 << 10))
        assert answers[-1].messages, "an answer with nothing in it, though there is something"

    # The small ones may come together or not; the large one has an answer to itself.
    assert [message.value for answer in answers for message in answer.messages] == values
    assert [answer for answer in answers if answer.values == [values[1]]]
    for answer in answers:
        assert (await one.ack(answer.batch)).acked == len(answer.messages)
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 3}))

    # What it was handed out with, the ledger and the group know nothing of its size: a heartbeat later all is well.
    await kafka.produce(topic, "d")
    assert (await one.pull(wait_ms=8000)).one.value == "d"
    assert errors(worker) == []
