"""Leases that outlive the worker that gave them: partitions move, and nobody gets what a client still has."""

from __future__ import annotations

import asyncio
import random
from time import monotonic

import aiohttp
import pytest

from support.book import Book, watched_commits
from support.clients import Client, Delivery, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import READY_TOGETHER, Worker, Workers

ID = "service"
PARTITIONS = 4
#: Longer than any test here takes.
LONG_MS = 120_000
#: Ends while the partitions move, or soon after.
SOON_MS = 6000


class Owners:
    """Workers that share a topic, and which of them has which partition."""

    def __init__(self, *workers: Worker) -> None:
        self.workers = list(workers)

    async def settled_down(self) -> bool:
        """The rebalance is over for all of them, and together they have everything."""
        owned = []
        for worker in self.workers:
            if (await worker.status())["degraded"]:
                return False
            owned.append(set(await worker.partitions()))
        return all(owned) and sorted(set().union(*owned)) == list(range(PARTITIONS))

    async def nothing_for(self, client: Client) -> None:
        """No worker has anything to hand out."""
        for worker in self.workers:
            pulled = await client.pull(at=worker, wait_ms=300, max_messages=100)
            assert pulled.messages == [], "a client has these still"

    async def ack(self, client: Client, message: Delivery) -> str:
        """Ack at the owner until it is taken; how it was taken."""
        while True:
            for worker in list(self.workers):
                try:
                    settled = await client.ack(message.lease, at=worker)
                except aiohttp.ClientConnectionError:
                    continue  # it is on its way out
                status = settled.results.get(message.lease, "done")
                if status != "retry":
                    return status
            await asyncio.sleep(0.05)


async def test_leases_go_on_at_the_next_owner_and_back_at_the_first(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    book = Book()
    async with watched_commits(kafka, book, id=ID, topic=topic):
        owners = Owners(await workers.launch(topic).ready(READY_TOGETHER))
        (first,) = owners.workers
        one, other = client(first, "one"), client(first, "other")

        async def take(*values: str, ack_wait_ms: int) -> dict[tuple[int, str | None], Delivery]:
            for partition in range(PARTITIONS):
                book.add(await kafka.produce(topic, *values, partition=partition))
            taken = await one.take(PARTITIONS * len(values), ack_wait_ms=ack_wait_ms)
            return {(message.partition, message.value): message for message in taken}

        held = await take("ack", "extend", "nack", "ack later", "delay", ack_wait_ms=LONG_MS)
        for number in range(PARTITIONS):
            await one.nack(held[number, "delay"].lease, delay_ms=LONG_MS)
        soon = await take("soon", ack_wait_ms=SOON_MS)
        ends = monotonic() + SOON_MS / 1000

        second = await workers.launch(topic, drain="0s").ready(READY_TOGETHER)
        owners.workers.append(second)
        await eventually(owners.settled_down, 30.0)
        moved = sorted(await second.partitions())
        if monotonic() < ends - 1.5:
            await owners.nothing_for(other)

        state = await one.lease(held[moved[0], "ack"].lease, at=second)
        assert (state["state"], state["delivery_count"]) == ("live", 1)
        assert 0 < state["time_left_ms"] <= LONG_MS
        for number in range(PARTITIONS):
            book.acking(held[number, "ack"])
            assert await owners.ack(one, held[number, "ack"]) == "done", "live, not late"
        for number in moved:
            extended = await one.extend(held[number, "extend"].lease, ack_wait_ms=2 * LONG_MS, at=second)
            assert (extended.extended, extended.results) == (1, {})
            nacked = await one.nack(held[number, "nack"].lease, delay_ms=0, at=second)
            assert (nacked.nacked, nacked.results) == (1, {})

        # What was nacked goes to somebody else at once, what had a short lease when that has ended; nothing more comes.
        came: list[Delivery] = []

        async def all_came() -> bool:
            for worker in owners.workers:
                came.extend((await other.pull(at=worker, wait_ms=200, max_messages=100, ack_wait_ms=LONG_MS)).messages)
            return len(came) >= len(moved) + PARTITIONS

        await eventually(all_came, 30.0)
        assert sorted((message.value or "", message.partition, message.delivery_count) for message in came) == [
            *(("nack", number, 2) for number in moved),
            *(("soon", number, 2) for number in range(PARTITIONS)),
        ]
        assert monotonic() > ends

        assert (await second.terminate(15.0)).code == 0
        owners.workers.remove(second)
        await eventually(owners.settled_down, 30.0)
        await owners.nothing_for(client(first, "third"))
        left = [held[number, value] for number in range(PARTITIONS) for value in ("extend", "ack later")]
        left += [held[number, "nack"] for number in range(PARTITIONS) if number not in moved]
        for message in left:
            book.acking(message)
            assert await owners.ack(one, message) == "done"
        for message in came:
            book.acking(message)
            assert await owners.ack(other, message) == "done"
        for number in range(PARTITIONS):
            book.acking(held[number, "delay"])
            assert await owners.ack(one, held[number, "delay"]) == "late"
        await eventually(lambda: kafka.has_committed(ID, topic, dict.fromkeys(range(PARTITIONS), 6)))
    assert len(soon) == PARTITIONS


async def test_leases_of_a_killed_owner_end_early(kafka: Kafka, workers: Workers, client: MakeClient) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    owners = Owners(workers.launch(topic), workers.launch(topic))
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in owners.workers))
    await eventually(owners.settled_down, 30.0)
    first, second = owners.workers
    for partition in range(PARTITIONS):
        await kafka.produce(topic, "held", partition=partition)
    lost = set(await second.partitions())
    one = client(first, "one")
    held: set[int] = set()

    async def holds_all() -> bool:
        for worker in owners.workers:
            pulled = await one.pull(at=worker, wait_ms=300, max_messages=PARTITIONS, ack_wait_ms=LONG_MS)
            held.update(message.partition for message in pulled.messages)
        return len(held) == PARTITIONS

    await eventually(holds_all)
    second.kill9()
    owners.workers.remove(second)
    await eventually(owners.settled_down, 30.0)
    other = client(first, "other")
    assert {message.partition for message in await other.take(len(lost))} == lost
    await owners.nothing_for(other)


@pytest.mark.parametrize("moves", [3, pytest.param(10, marks=pytest.mark.long)])
async def test_d10_acks_in_random_order_while_the_partitions_move_time_and_again(
    moves: int, kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    """Each is delivered once, and each ack is that of a live lease, wherever its partition is by then."""
    topic = await kafka.new_topic(PARTITIONS)
    book = Book()
    dice = random.Random(10)
    held: list[Delivery] = []
    delivered: list[tuple[int, int]] = []
    acked: list[str] = []
    async with watched_commits(kafka, book, id=ID, topic=topic):
        owners = Owners(await workers.launch(topic).ready(READY_TOGETHER))
        one = client(owners.workers[0], "one")
        for round in range(moves):
            for partition in range(PARTITIONS):
                book.add(await kafka.produce(topic, *(f"{round}-{n}" for n in range(5)), partition=partition))
            for worker in owners.workers:
                while pulled := (await one.pull(at=worker, wait_ms=200, max_messages=7, ack_wait_ms=LONG_MS)).messages:
                    held += pulled
                    delivered += [(message.partition, message.offset) for message in pulled]
            dice.shuffle(held)
            acking, held = held[: len(held) // 2], held[len(held) // 2 :]
            book.acking(*acking)
            # Half of these acks are sent while the partitions move.
            moving = asyncio.create_task(_move(owners, workers, topic))
            for message in acking:
                acked.append(await owners.ack(one, message))
                await asyncio.sleep(dice.random() * 0.05)
            await moving
        dice.shuffle(held)
        book.acking(*held)
        acked += [await owners.ack(one, message) for message in held]
        everything = [(partition, offset) for partition in range(PARTITIONS) for offset in range(5 * moves)]
        assert sorted(delivered) == everything
        assert len(acked) == len(everything)
        assert set(acked) <= {"done", "already_settled"}, "an answer of retry may have counted all the same"
        await eventually(lambda: kafka.has_committed(ID, topic, dict.fromkeys(range(PARTITIONS), 5 * moves)))


async def _move(owners: Owners, workers: Workers, topic: str) -> None:
    """A second worker joins, or leaves again."""
    if len(owners.workers) == 1:
        owners.workers.append(await workers.launch(topic, drain="0s").ready(READY_TOGETHER))
    else:
        assert (await owners.workers.pop().terminate(15.0)).code == 0
    await eventually(owners.settled_down, 30.0)
