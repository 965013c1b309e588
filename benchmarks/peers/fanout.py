"""fanout itself: real workers, every ack durable, driven by the load generator over HTTP."""

from __future__ import annotations

import asyncio
import json
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import Pids, end, free_port, launch, load_generator, output_of, pids_argument, run_of
from benchmarks.peers.spread import spread
from benchmarks.peers.system import CannotRun, Drain, Paced, Run
from benchmarks.support import BIN, wait_until_ready


class Fanout:
    """Some workers of one id, anew for each run: a new id has everything before it."""

    keeps_messages = True
    durability = (
        f"an ack is answered when Kafka has the ledger's row, acks=all ({KafkaStack.durability}); "
        "also a killed worker forgets none"
    )
    batch_means = "max_messages of a pull, acked by its batch token; clients are HTTP connections, one pull at a time"

    def __init__(self, *, encoding: Literal["json", "msgpack"] = "json", workers: int = 1) -> None:
        self._encoding = encoding
        self._workers = workers
        self._kafka = KafkaStack()
        self._where = Path()
        self._load = Path()
        parts = ["fanout", *(["msgpack"] if encoding == "msgpack" else []), *([f"{workers}"] if workers > 1 else [])]
        self.name = "-".join(parts) + ("-workers" if workers > 1 else "")

    def versions(self) -> Mapping[str, str]:
        return {
            "fanout": version("fanout-app"),
            "python": platform.python_version(),
            "broker": self._kafka.version(),
            "load generator": "Go, net/http",
        }

    async def start(self, where: Path) -> None:
        self._where = where
        self._load = await load_generator()
        await self._kafka.start()

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        await self._kafka.fill(topic, messages=messages, size=size, partitions=partitions)

    async def drain(self, topic: str, workload: Drain) -> Run:
        id = f"bench{time.time_ns()}"
        ports = [free_port() for _ in range(self._workers)]
        workers: list[subprocess.Popen[bytes]] = []
        try:
            for port in ports:
                # Each in its turn: the second one joins a cluster that is there, as in a roll-out.
                log = self._where / f"{id}-{port}.log"
                workers.append(launch(self._command(id, topic, port), log))
                # In a thread: a signal is not to wait for it.
                await asyncio.to_thread(wait_until_ready, port, workers[-1])
            await spread(ports)
            pids: Pids = {
                "server": [worker.pid for worker in workers],
                "broker": self._kafka.broker_pids(),
            }
            return run_of(json.loads(await output_of(self._drain_command(ports, workload, pids))))
        finally:
            for worker in workers:
                await end(worker)

    def _command(self, id: str, topic: str, port: int) -> list[str]:
        return [
            str(BIN / "fanout"), "--id", id, "--topic", topic, "--brokers", self._kafka.brokers,
            "--zookeepers", self._kafka.zookeepers, "--bind", f"127.0.0.1:{port}",
        ]  # fmt: skip

    def _drain_command(self, ports: list[int], workload: Drain, pids: Pids) -> list[str]:
        return [
            str(self._load), "drain", "-urls", ",".join(f"http://127.0.0.1:{port}" for port in ports),
            "-messages", str(workload.messages), "-clients", str(workload.clients), "-batch", str(workload.batch),
            "-encoding", self._encoding, "-pids", pids_argument(pids), *([] if workload.riding else ["-apart"]),
        ]  # fmt: skip

    async def paced(self, topic: str, workload: Paced) -> Run:
        raise CannotRun("not built yet")

    async def stop(self) -> None:
        await self._kafka.stop()
