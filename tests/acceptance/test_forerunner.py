"""What the daemon that fanout replaces promised its clients: three messages, one or two clients, one that is dead."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from support.clients import Delivery, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker


@pytest.fixture
async def worker(fresh: Worker, kafka: Kafka) -> Worker:
    """With a topic of three partitions that holds one message in each."""
    for partition, value in enumerate("ABC"):
        await kafka.produce(fresh.topic, value, partition=partition)
    return fresh


async def test_one_client_gets_all_three(worker: Worker, client: MakeClient) -> None:
    alone = client(worker, "alone")

    pulled = [(await alone.pull()).one for _ in range(3)]

    assert sorted(message.value or "" for message in pulled) == ["A", "B", "C"]
    settled = await alone.ack(*(message.lease for message in pulled))
    assert (settled.acked, settled.results) == (3, {})
    assert (await alone.pull(wait_ms=500)).messages == []


async def test_two_clients_that_pull_in_turn_share_the_three(worker: Worker, client: MakeClient) -> None:
    first, second = client(worker, "first"), client(worker, "second")

    pulled = [(await one.pull()).one for one in (first, second, first)]

    assert sorted(message.value or "" for message in pulled) == ["A", "B", "C"]
    assert (await second.pull(wait_ms=500)).messages == []


async def test_two_clients_that_wait_get_messages_in_the_order_in_which_they_came(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    served: list[tuple[str, str | None]] = []

    async def work(name: str) -> None:
        one = client(fresh, name)
        while True:
            message = (await one.pull()).one
            await one.ack(message.lease)
            served.append((name, message.value))

    async with asyncio.TaskGroup() as group:
        # The second to come has the name that sorts first: the order is that of coming.
        working = [group.create_task(work("z"))]
        await eventually(partial(fresh.has_waiting, 1))
        working.append(group.create_task(work("a")))
        for number, value in enumerate("ABCD"):
            await eventually(partial(fresh.has_waiting, 2))
            await kafka.produce(fresh.topic, value, partition=number % 3)
            await eventually(lambda: len(served) > number)  # noqa: B023 - awaited in this very turn
        for task in working:
            task.cancel()

    assert served == [("z", "A"), ("a", "B"), ("z", "C"), ("a", "D")]


async def test_what_a_client_does_not_ack_goes_to_the_one_that_lives(worker: Worker, client: MakeClient) -> None:
    dead, alive = client(worker, "dead"), client(worker, "alive")
    taken = (await dead.pull(ack_wait_ms=300)).one

    received: list[Delivery] = []
    while len(received) < 3:
        message = (await alive.pull(wait_ms=3000)).one
        await alive.ack(message.lease)
        received.append(message)

    assert sorted(message.value or "" for message in received) == ["A", "B", "C"]
    (again,) = (message for message in received if message.value == taken.value)
    assert (taken.delivery_count, again.delivery_count) == (1, 2)
    assert (await alive.pull(wait_ms=500)).messages == []
