"""A stock Faust agent: what one writes on a Faust that has no fanout, a loop over the stream's values."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.arrivals import Report, merged
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import output_of, pids_argument
from benchmarks.peers.system import CannotRun, Drain, Paced, Run


class FaustAgent:
    """One worker with one agent, all settings Faust's own but the loop: uvloop, as fanout has it."""

    name = "faust-agent"
    keeps_messages = True
    durability = f"offsets committed every 2.8 s, and at the end all but the last ({KafkaStack.durability})"
    batch_means = "one agent takes one message at a time, whatever clients and batch say"

    def __init__(self) -> None:
        self._kafka = KafkaStack()
        self._where = Path()

    def versions(self) -> Mapping[str, str]:
        return {
            "faust-streaming": version("faust-streaming"),
            "uvloop": version("uvloop"),
            "python": platform.python_version(),
            "broker": self._kafka.version(),
        }

    async def start(self, where: Path) -> None:
        self._where = where
        await self._kafka.start()

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        await self._kafka.fill(topic, messages=messages, size=size, partitions=partitions)

    async def drain(self, topic: str, workload: Drain) -> Run:
        name = f"faust-{time.time_ns()}"
        report = self._where / f"{name}.json"
        began = time.monotonic()
        await output_of(
            [
                sys.executable, "-m", "benchmarks.peers.faust_client", self._kafka.brokers, topic,
                str(workload.messages), pids_argument({"broker": self._kafka.broker_pids()}), self._where / name,
                report,
            ],
            patience=300,
        )  # fmt: skip
        return merged([Report.from_json(json.loads(report.read_text()))], workload.messages, began)

    async def paced(self, topic: str, workload: Paced) -> Run:
        raise CannotRun("not built yet")

    async def stop(self) -> None:
        await self._kafka.stop()
