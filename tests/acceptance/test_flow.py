"""Limits on what a worker holds: where one stops the intake, that is said wherever one looks, and it goes on again."""

from __future__ import annotations

import asyncio
import re

import aiohttp

from support.clients import Client, Delivery, MakeClient, Pulled
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers


async def metric(session: aiohttp.ClientSession, worker: Worker, name: str) -> float | None:
    async with session.get(f"{worker.url}/metrics") as response:
        match = re.search(rf"^{re.escape(name)} (\S+)$", await response.text(), re.MULTILINE)
    return float(match[1]) if match else None


async def take_until_full(client: Client, max_messages: int) -> tuple[list[Delivery], Pulled]:
    """Everything that comes without an ack until a limit is said to stop it, and the answer that says so."""
    taken: list[Delivery] = []
    # Where the logs end, and so whether there is more, is looked at every two seconds.
    async with asyncio.timeout(20):
        while True:
            pulled = await client.pull(wait_ms=700, ack_wait_ms=120_000, max_messages=max_messages)
            if pulled.empty == "buffer-full":
                return taken, pulled
            taken += pulled.messages


async def test_bodies_beyond_buffer_bytes_stay_in_kafka_until_some_are_settled(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    many, size = 60, 100_000
    for number in range(many):
        await kafka.produce(topic, f"{number}".ljust(size))
    worker = await workers.start(topic, buffer_bytes="2MiB")
    one = client(worker, "one")

    held, empty = await take_until_full(one, 5)

    # One fetch more than fits, of 1 MiB at most, since how large it is shows when it is there.
    assert 2 << 20 <= len(held) * size <= 4 << 20
    assert (empty.status, empty.empty) == (204, "buffer-full")
    assert any("buffer-bytes" in reason for reason in (await worker.status())["degraded"])
    assert await metric(session, worker, 'fanout_intake_full{limit="buffer-bytes"}') == 1
    assert (await worker.partitions())[0]["next_offset"] == len(held)

    # What is left may well be more than fits at once: only when all is settled is the intake certainly open.
    assert (await one.ack(*(message.lease for message in held))).acked == len(held)
    for expected in range(len(held), many):
        message = (await one.pull(wait_ms=8000)).one
        assert message.offset == expected
        await one.ack(message.lease)
    assert (await worker.status())["degraded"] == []
    assert await metric(session, worker, 'fanout_intake_full{limit="buffer-bytes"}') is None


async def test_a_row_that_grows_too_large_is_warned_of_and_stops_the_intake_until_gaps_are_closed(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    # 500 gaps make a row of 1 KiB. What is fetched by then is bounded, however far fetching is ahead of the acks, and
    # is a third of all.
    many = 10_000
    for first in range(0, many, 1000):
        await kafka.produce(topic, *(f"{number}".ljust(2000) for number in range(first, first + 1000)))
    limits = {"max_row_bytes": "1KiB", "buffer_bytes": "4MiB", "max_ack_pending": "100000", "client_limit": "100000"}
    worker = await workers.start(topic, **limits)
    one = client(worker, "the holder")
    kept: dict[int, Delivery] = {}

    async def ack_every_second(messages: list[Delivery]) -> None:
        kept.update((message.offset, message) for message in messages if message.offset % 2 == 0)
        odd = [message.lease for message in messages if message.offset % 2]
        assert (await one.ack(*odd)).acked == len(odd)

    empty = Pulled(status=0)
    while empty.empty != "buffer-full":
        pulled = await one.pull(max_messages=100, max_bytes=1 << 20, wait_ms=500, ack_wait_ms=120_000)
        await ack_every_second(pulled.messages)
        empty = pulled
        assert len(kept) < many // 2, "nothing has stopped it"

    row = (await worker.partitions())[0]
    assert row["full"] == "max-row-bytes"
    assert row["row_bytes"] >= 1024
    assert row["next_offset"] < many
    assert await metric(session, worker, 'fanout_intake_full{limit="max-row-bytes"}') == 1
    assert await metric(session, worker, "fanout_ledger_row_bytes") == row["row_bytes"]
    (warning,) = [line for line in worker.text().splitlines() if "its ledger row has" in line]
    assert "oldest unsettled message is 0/0, held by client the holder" in warning

    leases = [message.lease for message in kept.values()]
    for first in range(0, len(leases), 1000):
        await one.ack(*leases[first : first + 1000])
    rest = set(range(row["next_offset"], many))
    while rest:
        pulled = await one.pull(max_messages=1000, max_bytes=16 << 20, wait_ms=8000)
        assert pulled.messages, f"{len(rest)} never came"
        await one.ack(*pulled.leases)
        rest -= {message.offset for message in pulled.messages}
    await eventually(lambda: kafka.has_committed("service", topic, {0: many}))


async def test_max_ack_pending_bounds_what_is_held_of_a_partition_and_of_no_other(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(2)
    for partition in range(2):
        await kafka.produce(topic, *(f"{number}".ljust(5000) for number in range(1000)), partition=partition)
    worker = await workers.start(topic, max_ack_pending="100", client_limit="100000")
    one = client(worker, "one")
    held, _ = await take_until_full(one, 50)
    of_each = [sum(message.partition == partition for message in held) for partition in range(2)]
    # A fetch of 1 MiB holds about 200 of these.
    assert all(100 <= count < 600 for count in of_each)

    await one.ack(*(message.lease for message in held if message.partition == 1))
    assert (await one.pull(wait_ms=8000)).one.partition == 1
