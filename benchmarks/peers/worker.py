"""Workers of fanout as processes, for everything that measures it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from benchmarks.clients import get
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import end, free_port, launch, tail
from benchmarks.support import BIN, wait_until_ready

#: Seconds until every partition has to have an owner.
SETTLED_WITHIN = 60.0


@dataclass(frozen=True)
class Worker:
    """A process that can answer pulls, and the port it is asked at."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def waiting_pulls(self) -> int:
        """How many wait there for a message, as it says itself."""
        said: int = (await get(self.port, "/v1/status"))["waiting_pulls"]
        return said


class Workers:
    """Those of one id. A new id has everything that is in the topic before it."""

    def __init__(self, stack: KafkaStack, topic: str, where: Path, options: Sequence[str] = ()) -> None:
        """`options` are of each worker; their logs go to `where`."""
        self._stack = stack
        self._topic = topic
        self._where = where
        self._options = options
        self.id = f"bench{time.time_ns()}"
        self.members: list[Worker] = []

    def __iter__(self) -> Iterator[Worker]:
        return iter(self.members)

    async def start(self) -> Worker:
        """One more, ready to answer. Raises RuntimeError with the end of its log if it ends instead."""
        port = free_port()
        log = self._where / f"{self.id}-{port}.log"
        command = [*command_of(self._stack, self.id, self._topic, port), *self._options]
        member = Worker(launch(command, log), port)
        self.members.append(member)
        try:
            # In a thread: a signal is not to wait for it.
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
async def workers(stack: KafkaStack, topic: str, where: Path, *options: str, count: int = 1) -> AsyncIterator[Workers]:
    """So many, each started when the one before is ready, as in a roll-out; ended whatever happens."""
    some = Workers(stack, topic, where, options)
    try:
        for _ in range(count):
            await some.start()
        yield some
    finally:
        await some.stop()


def command_of(kafka: KafkaStack, id: str, topic: str, port: int) -> list[str]:
    """What starts one worker."""
    return [
        str(BIN / "fanout"), "--id", id, "--topic", topic, "--brokers", kafka.brokers,
        "--zookeepers", kafka.zookeepers, "--bind", f"127.0.0.1:{port}",
    ]  # fmt: skip
