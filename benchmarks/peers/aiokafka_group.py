"""The floor: what the Kafka client that fanout uses does by itself, as a plain consumer group."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.arrivals import Report, merged
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import pids_argument, python
from benchmarks.peers.system import CannotRun, Drain, Paced, Run


class AiokafkaGroup:
    """One consumer of a group of its own. More members of it would only share one core."""

    name = "aiokafka"
    keeps_messages = True
    durability = (
        f"one commit of the group's offsets at the end ({KafkaStack.durability}); no message is acked by itself"
    )
    batch_means = "one consumer takes whole fetches, thousands of records, whatever clients and batch say"

    def __init__(self) -> None:
        self._kafka = KafkaStack()

    def versions(self) -> Mapping[str, str]:
        return {"aiokafka": version("aiokafka"), "python": platform.python_version(), "broker": self._kafka.version()}

    async def start(self, where: Path) -> None:
        await self._kafka.start()

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        await self._kafka.fill(topic, messages=messages, size=size, partitions=partitions)

    async def drain(self, topic: str, workload: Drain) -> Run:
        pids = pids_argument({"broker": self._kafka.broker_pids()})
        began = time.monotonic()
        said = await python(
            "benchmarks.peers.aiokafka_client", self._kafka.brokers, topic, str(workload.messages), pids
        )
        return merged([Report.from_json(said)], workload.messages, began)

    async def paced(self, topic: str, workload: Paced) -> Run:
        raise CannotRun("not built yet")

    async def stop(self) -> None:
        await self._kafka.stop()
