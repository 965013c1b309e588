"""fanout itself: real workers, driven by the load generator over HTTP."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from benchmarks.peers import confluent
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.pacing import kafka_producer, paced_run
from benchmarks.peers.processes import Pids, load_generator, output_of, pids_argument, run_of
from benchmarks.peers.system import Drain, Paced, Run
from benchmarks.peers.worker import Worker, workers

_DURABLE = (
    f"an ack is answered when Kafka has the ledger's row, acks=all ({KafkaStack.durability}); "
    "also a killed worker forgets none"
)
_NOT_DURABLE = "none when an ack is answered (durable=false); its row is written all the same, a moment later"


class Fanout:
    """Some workers of one id, anew for each run: a new id has everything before it."""

    keeps_messages = True
    batch_means = "max_messages of a pull, acked by its batch token; clients are HTTP connections, one pull at a time"

    def __init__(
        self, *, encoding: Literal["json", "msgpack"] = "json", workers: int = 1, durable: bool = True
    ) -> None:
        self.durability = _DURABLE if durable else _NOT_DURABLE
        self._durable = durable
        self._encoding = encoding
        self._workers = workers
        self._kafka = KafkaStack()
        self._where = Path()
        self._load = Path()
        variants = {
            "msgpack": encoding == "msgpack",
            f"{workers}-workers": workers > 1,
            "not-durable": not durable,
        }
        self.name = "-".join(["fanout", *(name for name, chosen in variants.items() if chosen)])

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
        async with workers(self._kafka, topic, self._where, count=self._workers) as ready:
            await ready.settled(workload.partitions)
            riding = [] if workload.riding else ["-apart"]
            return await self._clients(ready, workload.messages, workload.clients, workload.batch, *riding)

    async def paced(self, topic: str, workload: Paced) -> Run:
        await confluent.install()
        await self._kafka.create(topic, workload.partitions)
        async with workers(self._kafka, topic, self._where, count=self._workers) as ready:
            await ready.settled(workload.partitions)
            stamped = ["-apart", "-stamped", "-uncounted", str(workload.uncounted)]
            clients = self._clients(ready, workload.messages, workload.clients, workload.batch, *stamped)

            async def all_wait() -> bool:
                return sum([await worker.waiting_pulls() for worker in ready]) == workload.clients

            producer = kafka_producer(topic, workload, self._kafka.brokers)
            return await paced_run(workload, producer, clients, all_wait)

    async def _clients(self, ready: Iterable[Worker], messages: int, clients: int, batch: int, *options: str) -> Run:
        pids: Pids = {"server": [worker.pid for worker in ready], "broker": self._kafka.broker_pids()}
        command = [
            str(self._load), "drain", "-urls", ",".join(worker.url for worker in ready),
            "-messages", str(messages), "-clients", str(clients), "-batch", str(batch),
            "-encoding", self._encoding, f"-durable={str(self._durable).lower()}", "-pids", pids_argument(pids),
            *options,
        ]  # fmt: skip
        return run_of(json.loads(await output_of(command)))

    async def stop(self) -> None:
        await self._kafka.stop()
