"""Drains that a workload does by itself, where it matters which worker is asked, and a Kafka for them that is warm."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import load_generator, output_of, pids_argument
from benchmarks.peers.worker import workers


@asynccontextmanager
async def kafka() -> AsyncIterator[KafkaStack]:
    """A Kafka and a ZooKeeper. Raises CannotRun where they do not start."""
    stack = KafkaStack()
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()


@dataclass(frozen=True)
class Load:
    """What the load generator is to take and ack, the ack riding on the next pull."""

    messages: int
    clients: int
    batch: int


@dataclass(frozen=True)
class Drained:
    """What that came to, from the first message at a client to the last durable ack."""

    messages: int
    seconds: float
    #: Seconds, by who is counted; "load" is the load generator.
    cpu: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    def us(self, who: str) -> float:
        """us of CPU a message."""
        return self.cpu[who] / self.messages * 1e6


async def drained(ports: Sequence[int], load: Load, pids: Mapping[str, Sequence[int]]) -> Drained:
    """Clients dealt out to the workers at these ports take and ack everything. Raises RuntimeError where not all is."""
    said = await output_of([
        await load_generator(), "drain", "-urls", ",".join(f"http://127.0.0.1:{port}" for port in ports),
        "-messages", str(load.messages), "-clients", str(load.clients), "-batch", str(load.batch),
        "-pids", pids_argument(pids),
    ])  # fmt: skip
    return drained_of(json.loads(said))


def drained_of(said: Mapping[str, Any]) -> Drained:
    """Duplicates count as the fault that they are where no worker ends: raises RuntimeError."""
    if said["duplicates"]:
        raise RuntimeError(f"{said['duplicates']} messages came twice")
    return Drained(said["messages"], said["seconds"], said["cpu"])


#: What a broker is warmed up with.
WARM_UP = Load(messages=200_000, clients=4, batch=500)


@asynccontextmanager
async def warm_kafka(where: Path, *, quick: bool) -> AsyncIterator[KafkaStack]:
    """As `kafka`, after a drain that nobody counts: a broker that has just started is slow. None in a quick round."""
    async with kafka() as stack:
        if not quick:
            await stack.fill("warm-up", messages=WARM_UP.messages, size=100, partitions=4)
            async with workers(stack, "warm-up", where) as some:
                await drained([some.members[0].port], WARM_UP, {})
        yield stack
