"""Workers of fanout as processes, for everything that measures it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import end, free_port, launch
from benchmarks.peers.spread import spread
from benchmarks.support import BIN, wait_until_ready


@dataclass(frozen=True)
class Worker:
    """One that can answer pulls."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def waiting_pulls(self) -> int:
        """How many wait there for a message, as it says itself."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/v1/status") as answer:
            said: int = (await answer.json())["waiting_pulls"]
            return said


@asynccontextmanager
async def workers(
    kafka: KafkaStack, topic: str, where: Path, *options: str, count: int = 1
) -> AsyncIterator[Sequence[Worker]]:
    """So many of a new id, which has everything before it, each with partitions; their logs go to `where`.

    Ended at the end.
    """
    id = f"bench{time.time_ns()}"
    processes: list[subprocess.Popen[bytes]] = []
    ready: list[Worker] = []
    try:
        for _ in range(count):
            port = free_port()
            command = [*command_of(kafka, id, topic, port), *options]
            processes.append(launch(command, where / f"{id}-{port}.log"))
            # Each in its turn: the second one joins a cluster that is there, as in a roll-out. In a thread: a signal is
            # not to wait for it.
            await asyncio.to_thread(wait_until_ready, port, processes[-1])
            ready.append(Worker(port, processes[-1].pid))
        await spread([worker.port for worker in ready])
        yield ready
    finally:
        for process in processes:
            await end(process)


def command_of(kafka: KafkaStack, id: str, topic: str, port: int) -> list[str]:
    """What starts one worker."""
    return [
        str(BIN / "fanout"), "--id", id, "--topic", topic, "--brokers", kafka.brokers,
        "--zookeepers", kafka.zookeepers, "--bind", f"127.0.0.1:{port}",
    ]  # fmt: skip
