"""Workers of fanout that a workload starts for itself, where it matters which of them is asked, or ends."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.clients import get
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import end, free_port, launch, load_generator, output_of, pids_argument, tail
from benchmarks.support import BIN, wait_until_ready

#: Seconds until every partition has to have an owner.
SETTLED_WITHIN = 60.0


@dataclass(frozen=True)
class Member:
    """A worker's process and the port it is asked at."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid


@asynccontextmanager
async def kafka() -> AsyncIterator[KafkaStack]:
    """A Kafka and a ZooKeeper. Raises CannotRun where they do not start."""
    stack = KafkaStack()
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()


class Workers:
    """Those of one id. A new id has everything that is in the topic before it."""

    def __init__(self, stack: KafkaStack, topic: str, where: Path, options: Sequence[str] = ()) -> None:
        """`options` are of each worker; their logs go to `where`."""
        self._stack = stack
        self._topic = topic
        self._where = where
        self._options = options
        self.id = f"bench{time.time_ns()}"
        self.members: list[Member] = []

    async def start(self) -> Member:
        """One more, ready to answer. Raises RuntimeError with the end of its log if it ends instead."""
        port = free_port()
        log = self._where / f"{self.id}-{port}.log"
        command = [
            str(BIN / "fanout"), "--id", self.id, "--topic", self._topic, "--brokers", self._stack.brokers,
            "--zookeepers", self._stack.zookeepers, "--bind", f"127.0.0.1:{port}", *self._options,
        ]  # fmt: skip
        member = Member(launch(command, log), port)
        self.members.append(member)
        try:
            await asyncio.to_thread(wait_until_ready, port, member.process)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {tail(log)}") from error
        return member

    async def settled(self, partitions: int) -> Mapping[int, Sequence[int]]:
        """Wait until the workers know each other and have all partitions, as evenly as it goes; port -> its own.

        Raises TimeoutError.
        """
        until = time.monotonic() + SETTLED_WITHIN
        while time.monotonic() < until:
            rows = (await get(self.members[0].port, "/v1/workers"))["workers"]
            owned = {int(row["address"].rpartition(":")[2]): row["partitions"] for row in rows}
            if evenly({member.port for member in self.members}, owned, partitions):
                return owned
            await asyncio.sleep(0.1)
        raise TimeoutError(f"not all of {partitions} partitions have an owner: {owned}")

    async def stop(self) -> None:
        """All that are left, at once."""
        await asyncio.gather(*(end(member.process) for member in self.members))


def evenly(ports: set[int], owned: Mapping[int, Sequence[int]], partitions: int) -> bool:
    """Whether exactly these workers have the partitions, each of them one of the two whole shares next to its part."""
    shares = [len(some) for some in owned.values()]
    return (
        set(owned) == ports
        and sorted(chain(*owned.values())) == list(range(partitions))
        and max(shares) - min(shares) <= 1
    )


@asynccontextmanager
async def workers(
    number: int, stack: KafkaStack, topic: str, where: Path, options: Sequence[str] = ()
) -> AsyncIterator[Workers]:
    """So many, each started when the one before is ready, as in a roll-out; ended whatever happens."""
    some = Workers(stack, topic, where, options)
    try:
        for _ in range(number):
            await some.start()
        yield some
    finally:
        await some.stop()


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
            async with workers(1, stack, "warm-up", where) as some:
                await drained([some.members[0].port], WARM_UP, {})
        yield stack
