"""Faults that others met, by their numbers: a wall clock that jumps while everything goes on."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import aiohttp

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack
from support.workers import Worker, Workers

#: Seconds a lease lasts here, and how far off its end may be on a busy machine.
T = 4.0
TOLERANCE = 1.5
DAY = 86_400


async def epoch_of(worker: Worker) -> int | None:
    """The epoch of its leader, once there is one."""
    status = await worker.status()
    return status["epoch"] if status["leader"] else None


async def test_d14_leases_delays_and_polls_end_in_real_time_whatever_the_wall_clock_does(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession, stack: Stack, tmp_path: Path
) -> None:
    clock = tmp_path / "ahead"
    turned = tmp_path / "ahead.new"

    def turn(seconds: int) -> None:
        turned.write_text(str(seconds))
        turned.rename(clock)

    turn(0)
    topic = await kafka.new_topic(1)
    # The session is shorter than the test, so that heartbeats have to get through all along.
    worker = await workers.start(topic, faults=[f"wall-clock={clock}"], zookeepers=stack.zookeepers)
    epoch = await eventually(lambda: epoch_of(worker))
    generation = (await worker.status())["generation"]
    one, other = client(worker, "one"), client(worker, "other")

    async def shown(lease: str) -> tuple[float, float]:
        """How far ahead of the true time the end of a lease is shown, and its time left; in seconds."""
        async with session.get(f"{worker.url}/v1/leases/{lease}") as response:
            assert response.status == 200
            state = await response.json()
        assert state["state"] == "live"
        return state["lease_ends_unix_ms"] / 1000 - time.time(), state["time_left_ms"] / 1000

    await kafka.produce(topic, "held")
    began = time.monotonic()
    held = (await one.pull(ack_wait_ms=int(T * 1000))).one
    waiting = asyncio.create_task(other.pull(wait_ms=15_000, ack_wait_ms=60_000))
    empty = asyncio.create_task(one.pull(wait_ms=2000))
    await eventually(partial(worker.has_waiting, 2))

    for ahead in (0, DAY, -DAY, 0, -2 * DAY):
        turn(ahead)
        ends, left = await shown(held.lease)
        assert 0 < left <= T
        assert ahead - TOLERANCE < ends - left < ahead + TOLERANCE
        await asyncio.sleep(0.3)  # so that the worker's timers come round at each of these times
    assert (await empty).messages == []
    assert 2.0 - 0.05 < time.monotonic() - began < 2.0 + TOLERANCE
    turn(DAY)

    again = (await waiting).one
    assert T - 0.05 < time.monotonic() - began < T + TOLERANCE
    assert (again.offset, again.delivery_count) == (held.offset, 2)

    # A delay is real time too.
    began = time.monotonic()
    assert (await other.nack(again.lease, delay_ms=1500)).nacked == 1
    turn(-DAY)
    third = (await one.pull(wait_ms=10_000)).one
    assert 1.5 - 0.05 < time.monotonic() - began < 1.5 + TOLERANCE
    assert third.delivery_count == 3
    assert (await one.ack(third.lease)).acked == 1
    await eventually(lambda: kafka.has_committed(worker.id, topic, {0: 1}))

    status = await worker.status()
    assert (status["generation"], status["degraded"]) == (generation, [])
    assert (status["leader"], status["epoch"]) == (status["worker"], epoch), "it leads all along"
    assert [line for line in worker.text().splitlines() if " ERROR " in line or " WARNING " in line] == []
