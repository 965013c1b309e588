"""The course of a paced run, the same for every system: clients wait, then messages come at the rate."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.peers import confluent
from benchmarks.peers.processes import output_of
from benchmarks.peers.system import Paced, Percentiles, Run

#: Seconds in which all clients have to be there.
PATIENCE = 60.0


async def paced_run(
    workload: Paced,
    producer: Sequence[str],
    clients: Coroutine[Any, Any, Run],
    are_waiting: Callable[[], Awaitable[bool]],
) -> Run:
    """Start the clients, produce when they wait, and answer their run, with the producer's own latencies.

    `clients` ends by itself when all is acked. Raises RuntimeError when they end before anything was produced, do not
    wait within PATIENCE, or do not get everything; TimeoutError when they do not end.
    """
    taking = asyncio.create_task(clients)
    try:
        await _until(are_waiting, taking)
        await asyncio.sleep(workload.settled)
        produced = json.loads(await output_of(producer))
        run = await asyncio.wait_for(taking, PATIENCE)
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
    if run.messages != workload.messages - workload.uncounted:
        raise RuntimeError(f"{run.messages} messages came after the warm-up, and {run.duplicates} came again")
    own = {name: Percentiles(**timed) for name, timed in produced.items()}
    return replace(run, latencies={**run.latencies, **own})


async def _until(are_waiting: Callable[[], Awaitable[bool]], taking: asyncio.Task[Any]) -> None:
    until = time.monotonic() + PATIENCE
    while not await are_waiting():
        if taking.done():
            raise RuntimeError(f"the clients have ended already: {taking.exception() or taking.result()}")
        if time.monotonic() > until:
            raise RuntimeError(f"the clients do not wait {PATIENCE:.0f} s after they were started")
        await asyncio.sleep(0.1)


def kafka_producer(topic: str, workload: Paced, brokers: str) -> list[str]:
    """The command of the producer for systems on Kafka; `confluent.install` comes before."""
    numbers = (workload.partitions, workload.rate, workload.messages, workload.uncounted, workload.size)
    module = "benchmarks.peers.paced_producer"
    return [str(confluent.PYTHON), "-m", module, brokers, topic, *map(str, numbers)]
