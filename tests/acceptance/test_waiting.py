"""Pulls that wait: woken when there is something for them, and no trap for messages once their client has gone."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from support.clients import Hangup, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.process import sockets
from support.workers import Worker, Workers

ACK_WAIT = 1.0
WAITING_CLIENTS = 200


async def test_d03_a_waiting_pull_is_woken_by_an_expired_lease(fresh: Worker, kafka: Kafka, client: MakeClient) -> None:
    await kafka.produce(fresh.topic, "once")
    silent, other = client(fresh, "silent"), client(fresh, "other")
    taken = (await silent.pull(ack_wait_ms=int(ACK_WAIT * 1000))).one
    began = monotonic()

    again = (await other.pull(wait_ms=10_000)).one

    assert ACK_WAIT - 0.05 < monotonic() - began < ACK_WAIT + 0.3
    assert (again.offset, again.delivery_count) == (taken.offset, 2)


async def test_d03_a_client_that_is_alone_gets_back_what_it_let_expire(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, "once")
    alone = client(fresh, "alone")
    await alone.pull(ack_wait_ms=300)
    began = monotonic()
    again = (await alone.pull(wait_ms=10_000)).one
    # For a second another client would have had the first right to it.
    assert 0.25 < monotonic() - began < 0.3 + 1.0 + 0.3
    assert again.delivery_count == 2


async def test_a_waiting_pull_is_woken_by_a_new_message(fresh: Worker, kafka: Kafka, client: MakeClient) -> None:
    one = client(fresh, "one")
    for number in range(4):
        waiting = asyncio.create_task(one.pull(wait_ms=10_000))
        await eventually(lambda: fresh.has_waiting(1))
        began = monotonic()
        await kafka.produce(fresh.topic, f"v{number}", partition=number % 2)
        assert (await waiting).one.value == f"v{number}"
        assert monotonic() - began < 0.5


@pytest.mark.parametrize("leave", [Hangup.close, Hangup.reset, Hangup.close_half])
async def test_d02_a_client_that_hangs_up_while_it_waits_gets_nothing_and_leaves_nothing_behind(
    leave: Callable[[Hangup], None], kafka: Kafka, workers: Workers, client: MakeClient, tmp_path: Path
) -> None:
    topic = await kafka.new_topic(1)
    told = tmp_path / "tasks"
    worker = await workers.start(topic, faults=[f"tells-tasks={told}"])

    async def held() -> tuple[int, int]:
        """Sockets and tasks of the worker."""
        worker.signal(signal.SIGUSR1)
        await eventually(told.exists)
        tasks: dict[str, int] = json.loads(told.read_text())
        told.unlink()
        return sockets(worker.pid), sum(tasks.values())

    before = await held()
    async with hangups(worker, WAITING_CLIENTS) as gone:
        await eventually(lambda: worker.has_waiting(WAITING_CLIENTS))
        meanwhile = await held()
        assert min(now - then for now, then in zip(meanwhile, before, strict=True)) >= WAITING_CLIENTS
        for one in gone:
            leave(one)
        await eventually(lambda: worker.has_waiting(0), 2.0)

        began = monotonic()
        await kafka.produce(topic, "for the next")
        message = (await client(worker, "next").pull(wait_ms=5000)).one

        assert monotonic() - began < 0.5
        assert (message.value, message.delivery_count) == ("for the next", 1)
        status = await worker.status()
        assert (status["waiting_pulls"], status["in_flight"]) == (0, 1)

    async def nothing_is_left() -> bool:
        # The test's own connections to the worker may be a few more by now.
        return all(now <= then + 5 for now, then in zip(await held(), before, strict=True))

    await eventually(nothing_is_left)


async def test_d02_hanging_up_in_the_moment_of_delivery_loses_nothing(
    fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    values = [f"v{number}" for number in range(WAITING_CLIENTS)]
    async with hangups(fresh, WAITING_CLIENTS, ack_wait_ms=500) as gone:
        await eventually(lambda: fresh.has_waiting(WAITING_CLIENTS))
        producing = asyncio.create_task(kafka.produce(fresh.topic, *values))
        for one in gone:
            one.close()
            await asyncio.sleep(0)
        await producing
        # What was written to a closed connection is under a lease until that ends.
        received = await client(fresh, "alive").take(len(values))
        assert sorted(message.value or "" for message in received) == sorted(values)
        await eventually(lambda: fresh.has_waiting(0), 2.0)


@asynccontextmanager
async def hangups(worker: Worker, count: int, **fields: int) -> AsyncIterator[list[Hangup]]:
    """Clients that pull and are going to leave."""
    clients = [await Hangup.pulling(worker, f"gone {number}", **fields) for number in range(count)]
    try:
        yield clients
    finally:
        for one in clients:
            await one.gone()


async def test_a_pull_without_wait_answers_at_once(fresh: Worker, kafka: Kafka, client: MakeClient) -> None:
    began = monotonic()
    answer = await client(fresh, "one").pull(wait_ms=0)
    assert monotonic() - began < 0.5
    assert (answer.status, answer.empty) == (204, "no-message")
