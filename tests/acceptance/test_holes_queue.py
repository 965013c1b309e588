"""Holes of the daemon that fanout replaces, part two: messages lost, kept in circles, or delivered by two workers."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from functools import partial

import pytest

from support.clients import Client, Delivery, Hangup, MakeClient
from support.eventually import eventually
from support.kafka import Kafka, Record
from support.process import cpu_seconds, resident
from support.workers import Worker, Workers

ID = "service"
MB = 1 << 20


async def test_hole_01_nothing_is_lost_when_one_of_two_clients_is_cut_in_full_flow(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    """A thousand messages a second for four seconds; one of the two clients is cut again and again."""
    seconds, rate = 4, 1000
    acked: list[Delivery] = []

    async def produce() -> None:
        began = time.monotonic()
        for number in range(seconds * 20):
            values = [f"{number}-{n}" for n in range(rate // 20)]
            await kafka.produce(fresh.topic, *values, partition=number % 3)
            await asyncio.sleep(max(0.0, began + (number + 1) / 20 - time.monotonic()))

    async def live() -> None:
        one = client(fresh, "live")
        while len(acked) < seconds * rate:
            pulled = await one.pull(wait_ms=3000, max_messages=10)
            settled = await one.ack(*pulled.leases)
            assert (settled.acked, settled.results) == (len(pulled.leases), {})
            acked.extend(pulled.messages)

    async def cut() -> None:
        """Takes some, and goes while more is under way to it."""
        number = 0
        while not enough.is_set():
            number += 1
            one = await Hangup.pulling(fresh, "cut", wait_ms=300, ack_wait_ms=500, max_messages=5)
            if number % 2:
                await one.answer()
                await one.pull("cut", ack_wait_ms=500, max_messages=5)
            one.reset()
            await one.gone()

    enough = asyncio.Event()
    cutting = asyncio.create_task(cut())
    try:
        async with asyncio.timeout(60.0):
            await asyncio.gather(produce(), live())
    finally:
        enough.set()
        await cutting
    assert len({(message.partition, message.offset) for message in acked}) == seconds * rate
    assert {message.delivery_count for message in acked} > {1}, "nothing was ever with the one that was cut"
    ends = await kafka.ends(fresh.topic, range(3))
    await eventually(lambda: kafka.has_committed(ID, fresh.topic, ends))


async def test_hole_10_what_waits_without_clients_waits_in_kafka_at_no_cost(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(3)
    worker = await workers.start(topic, client_limit="20000")
    before = resident(worker.pid)
    for partition in range(3):
        await kafka.produce(topic, *(f"{partition}/{n}" for n in range(10_000 // 3)), partition=partition)
    count = 10_000 // 3 * 3

    used, measured = cpu_seconds(worker.pid), 3.0
    await asyncio.sleep(measured)
    used = cpu_seconds(worker.pid) - used

    assert used < 0.3 * measured
    assert resident(worker.pid) - before < 16 * MB
    status = await worker.status()
    assert (status["buffered"], status["in_flight"]) == (0, 0)
    taken = await client(worker, "comes").take(count)
    assert len({(message.partition, message.offset) for message in taken}) == count
    assert {message.delivery_count for message in taken} == {1}


async def test_hole_12_two_workers_with_one_id_share_the_work(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(4)
    pair = [workers.launch(topic) for _ in range(2)]
    await asyncio.gather(*(worker.ready(20.0) for worker in pair))

    async def share() -> bool:
        owned = [set(await worker.partitions()) for worker in pair]
        return all(owned) and not owned[0] & owned[1] and owned[0] | owned[1] == set(range(4))

    await eventually(share)
    for partition in range(4):
        await kafka.produce(topic, *(f"{partition}/{n}" for n in range(250)), partition=partition)
    got: list[Delivery] = []

    async def work(one: Client) -> int:
        count = 0
        while pulled := (await one.pull(wait_ms=1500, max_messages=20)).messages:
            await one.ack(*(message.lease for message in pulled))
            got.extend(pulled)
            count += len(pulled)
        return count

    counts = await asyncio.gather(*(work(client(worker, f"at {n}")) for n, worker in enumerate(pair)))

    # Whichever worker a client asks, it gets messages of both: how many is a matter of who is quicker.
    assert all(counts)
    twice = [place for place, count in Counter((m.partition, m.offset) for m in got).items() if count > 1]
    assert (len(got), twice) == (1000, [])


async def test_hole_12_nothing_written_right_after_the_launch_is_missed(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(3)
    for partition in range(3):
        await kafka.produce(topic, "long ago", partition=partition)
    # From the latest: from the earliest, whatever is written is there anyway.
    worker = workers.launch(topic, start_from="latest")
    due: list[Record] = []

    async def produce() -> None:
        """All along, from before anybody listens until the worker is ready."""
        number = 0
        while not worker_is_ready.is_set():
            listens = "serving" in worker.text()
            for partition in range(3):
                written = await kafka.produce(topic, f"{number}", partition=partition)
                if listens:
                    due.extend(written)
            number += 1
            await asyncio.sleep(0.02)

    worker_is_ready = asyncio.Event()
    producing = asyncio.create_task(produce())
    await worker.ready(20.0)
    worker_is_ready.set()
    await producing

    one = client(worker, "one")
    came: set[tuple[int, int]] = set()

    async def all_came() -> bool:
        came.update((m.partition, m.offset) for m in (await one.pull(wait_ms=300, max_messages=1000)).messages)
        missing = {(record.partition, record.offset) for record in due} - came
        assert not missing
        return True

    await eventually(all_came)
    assert len(due) > 3, "the worker was ready before anything could be written"
    assert not came & {(partition, 0) for partition in range(3)}


@pytest.mark.parametrize("reads", [False, True])
async def test_hole_13_a_slow_reader_slows_nobody_and_keeps_nothing(
    reads: bool, fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    large = 20
    await kafka.produce(fresh.topic, *("x" * 500_000 for _ in range(large)))
    opener = client(fresh, "opener")
    await opener.nack((await opener.pull(wait_ms=5000)).one.lease)

    async def all_are(where: str) -> bool:
        return bool((await fresh.status())[where] == large)

    await eventually(partial(all_are, "buffered"))
    before = resident(fresh.pid)
    slow = await Hangup.pulling(
        fresh, "slow", receive_buffer=4096, ack_wait_ms=3000, max_messages=large, max_bytes=16 * MB
    )
    await eventually(partial(all_are, "in_flight"))
    since = time.monotonic()

    async def read_slowly() -> None:
        while True:
            if not await slow.read(1024):
                return
            await asyncio.sleep(0.05)

    reading = asyncio.create_task(read_slowly()) if reads else None
    try:
        quick = client(fresh, "quick")
        # Well within the leases of the slow one: after them the large ones come first.
        while time.monotonic() < since + 1.5:
            await kafka.produce(fresh.topic, "small", partition=1)
            began = time.monotonic()
            message = (await quick.pull(wait_ms=5000)).one
            await quick.ack(message.lease)
            assert message.partition == 1
            assert time.monotonic() - began < 0.7
        # What it has not read in time is somebody else's: all of it.
        taken = await quick.take(large, max_bytes=16 * MB)
        assert [(message.offset, message.value) for message in taken] == [(n, "x" * 500_000) for n in range(large)]
        assert (await quick.ack(*(message.lease for message in taken))).acked == large
        assert resident(fresh.pid) - before < 150 * MB
        # It was hung up on when its leases ended: what the system had not taken by then never comes.
        if reading is not None:
            reading.cancel()
        async with asyncio.timeout(5.0):
            assert await rest_of(slow) < large * 500_000
    finally:
        if reading is not None:
            reading.cancel()
        slow.reset()


async def rest_of(one: Hangup) -> int:
    """How many bytes come until the other end has hung up."""
    size = 0
    with suppress(ConnectionError):
        while data := await one.read(MB):
            size += len(data)
    return size


async def test_hole_13_a_burst_takes_no_slow_handler_out(fresh: Worker, kafka: Kafka, client: MakeClient) -> None:
    count, handlers = 600, 6
    done: list[Delivery] = []

    async def handle(one: Client, seconds: float) -> int:
        mine = 0
        while len(done) < count:
            for message in (await one.pull(wait_ms=300, max_messages=5)).messages:
                await asyncio.sleep(seconds)
                settled = await one.ack(message.lease)
                assert (settled.acked, settled.results) == (1, {})
                done.append(message)
                mine += 1
        return mine

    # The last takes fifty times as long as the first.
    working = [
        asyncio.create_task(handle(client(fresh, f"handler {n}"), 0.2 if n == handlers - 1 else 0.004))
        for n in range(handlers)
    ]
    await eventually(partial(fresh.has_waiting, handlers))
    for partition in range(3):
        await kafka.produce(fresh.topic, *(json.dumps(n) for n in range(count // 3)), partition=partition)
    shares = await asyncio.gather(*working)

    assert sum(shares) == len({(message.partition, message.offset) for message in done}) == count
    assert {message.delivery_count for message in done} == {1}
    assert 0 < shares[-1] < min(shares[:-1])
