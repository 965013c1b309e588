"""Faults that others met in this kind of software, by their numbers in that collection: leases and shares.

D2 and D3 are in `test_waiting`, D4 in `test_acks_with_gaps`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic

import aiohttp
import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers

#: Seconds a lease lasts here, and how far off its end may be on a busy machine.
T = 2.0
TOLERANCE = 1.0
T_MS = int(T * 1000)


@pytest.mark.parametrize("other_acks", [True, False])
async def test_d01_a_late_ack_counts_though_somebody_else_has_the_message(
    other_acks: bool, fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, "once", "and another")
    one, other, third = (client(fresh, name) for name in ("one", "other", "third"))
    # The second message stays with the third client all along: the floor is to move by exactly one.
    first = (await one.pull(ack_wait_ms=T_MS)).one
    kept = (await third.pull(ack_wait_ms=60_000)).one
    began = monotonic()
    second = (await other.pull(wait_ms=5000, ack_wait_ms=T_MS)).one
    assert (second.offset, second.delivery_count, kept.offset) == (first.offset, 2, 1)
    assert T - TOLERANCE < monotonic() - began < T + TOLERANCE

    # What needs the lease is refused, without harm to the one who has it now.
    for refused in (await one.nack(first.lease), await one.extend(first.lease, ack_wait_ms=60_000)):
        assert refused.results == {first.lease: "lease_lost"}
    assert (await third.pull(wait_ms=300)).messages == []
    late = await one.ack(first.lease)
    assert (late.acked, late.results) == (1, {first.lease: "late"})

    if other_acks:
        settled = await other.ack(second.lease)
        assert (settled.status, settled.acked, settled.results) == (200, 0, {second.lease: "already_settled"})
    # Nobody is handed it any more, also when the other client's lease would have ended.
    assert (await third.pull(wait_ms=int((T + TOLERANCE) * 1000))).messages == []
    await eventually(lambda: kafka.has_committed(fresh.id, fresh.topic, {0: 1}))
    assert (await third.ack(kept.lease)).acked == 1


async def test_d01_there_are_never_two_live_leases_of_one_message(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, "once")
    one, others = client(fresh, "one"), [client(fresh, f"other {number}") for number in range(5)]
    first = (await one.pull(ack_wait_ms=T_MS)).one
    ends = monotonic() + T
    waiting = [asyncio.create_task(other.pull(wait_ms=T_MS + 2000, ack_wait_ms=60_000)) for other in others]
    await eventually(partial(fresh.has_waiting, len(others)))
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert monotonic() > ends - 0.05, "handed to somebody else while its lease was alive"
    assert (await done.pop()).one.offset == first.offset
    answers = await asyncio.gather(*waiting)
    assert sum(len(answer.messages) for answer in answers) == 1


@pytest.mark.parametrize("asks_for", [1, pytest.param(1000, marks=pytest.mark.long)])
async def test_d09_a_client_that_takes_and_does_not_ack_keeps_nobody_from_work(
    asks_for: int, kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    count, limit, pending = 1000, 100, 300
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"{n}".ljust(5000) for n in range(count)))
    worker = await workers.start(topic, client_limit=str(limit), max_ack_pending=str(pending))
    hoarder, worthy = client(worker, "hoarder"), client(worker, "worthy")
    done: set[int] = set()
    most_held = most_hoarded = 0

    async def hoard() -> None:
        while True:
            await hoarder.pull(wait_ms=500, max_messages=asks_for, ack_wait_ms=T_MS, max_bytes=16 << 20)

    async def watch() -> None:
        nonlocal most_held, most_hoarded
        while True:
            status = await worker.status()
            most_held = max(most_held, status["buffered"] + status["in_flight"])
            async with session.get(f"{worker.url}/v1/clients") as response:
                clients = (await response.json())["clients"]
            most_hoarded = max([most_hoarded, *(one["in_flight"] for one in clients if one["client"] == "hoarder")])
            await asyncio.sleep(0.02)

    around = [asyncio.create_task(hoard()), asyncio.create_task(watch())]
    try:
        await eventually(partial(holds, worker, limit))
        while len(done) < count:
            began = monotonic()
            message = (await worthy.pull(wait_ms=8000)).one
            # It waits only when all that is left is with the other one, and then until that one's leases end.
            left = count - len(done)
            assert monotonic() - began < TOLERANCE or (left <= limit and monotonic() - began < T + TOLERANCE)
            assert (await worthy.ack(message.lease)).acked == 1
            done.add(message.offset)
    finally:
        for task in around:
            task.cancel()
        await asyncio.gather(*around, return_exceptions=True)
    assert done == set(range(count))
    await eventually(lambda: kafka.has_committed(worker.id, topic, {0: count}))
    assert most_hoarded == limit
    # What is held may grow by one fetch beyond the limit, 1 MiB; never to all there is.
    assert most_held < pending + 250


async def test_d08_a_group_without_a_weight_gets_nothing_and_is_told_so(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    """Weights cannot be set over HTTP yet; what they do is tested in the core."""
    canary, stable = client(fresh, "canary"), [client(fresh, f"stable {number}") for number in range(2)]
    waiting = asyncio.create_task(canary.pull(wait_ms=3000, group="canary"))
    await eventually(partial(fresh.has_waiting, 1))
    await kafka.produce(fresh.topic, *(f"{number}" for number in range(200)))
    taken = [message for one in stable for message in await one.take(100)]
    assert len({message.offset for message in taken}) == 200
    empty = await waiting
    assert (empty.status, empty.empty) == (204, "weight-zero")


async def holds(worker: Worker, count: int) -> bool:
    return bool((await worker.status())["in_flight"] == count)


async def test_d09_who_takes_and_does_not_ack_is_slowed_until_it_does(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, *(f"{n}" for n in range(40)))
    hoarder, other = client(fresh, "hoarder"), client(fresh, "other")
    assert len(await hoarder.take(10, ack_wait_ms=300)) == 10
    # All ten run out, and go to somebody else.
    await eventually(partial(holds, fresh, 0))
    again = [message for message in await other.take(10) if message.delivery_count == 2]
    assert len(again) == 10
    await other.ack(*(message.lease for message in again))

    (one,) = (await hoarder.pull(max_messages=10)).messages
    slowed = await hoarder.pull(max_messages=10, wait_ms=300)
    assert (slowed.status, slowed.empty) == (204, "client-limit")
    assert len((await other.pull(max_messages=5)).messages) == 5
    assert (await hoarder.ack(one.lease)).acked == 1
    assert len((await hoarder.pull(max_messages=10)).messages) == 10
