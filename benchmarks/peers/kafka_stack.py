"""The Kafka that several of the systems stand on: the stack of bin/stack, in a name of its own for each start."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.peers.system import ROOT, CannotRun, label
from benchmarks.support import cpu_seconds


class KafkaStack:
    """One broker and one ZooKeeper server, on this machine's disk."""

    durability = "one broker, acks=all, flushed when Linux does: survives a killed broker, not a power cut"

    def __init__(self) -> None:
        self._name = ""
        self.brokers = ""
        self.zookeepers = ""
        self.pids: dict[str, int] = {}

    async def start(self, *options: str) -> None:
        """Raises CannotRun with what bin/stack said. `options` go to the broker, as KEY=VALUE."""
        self._name = f"bench-{os.getpid()}-{id(self):x}"
        given = [word for option in options for word in ("--broker-option", option)]
        up = await self._stack("up", "--json", *given)
        if up.returncode:
            raise CannotRun(f"bin/stack: {up.stderr.strip()[-500:]}")
        said = json.loads(up.stdout)
        self.brokers, self.zookeepers = said["brokers"], said["zookeepers"]
        self.pids = {name: server["pid"] for name, server in said["servers"].items()}

    async def stop(self) -> None:
        """What is not up is no error."""
        if self._name:
            await self._stack("down")
            self._name = ""

    async def _stack(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            lambda: subprocess.run(
                [ROOT / "bin/stack", command, "--name", self._name, *words], capture_output=True, text=True
            )
        )

    def broker_pids(self) -> Sequence[int]:
        """Of the brokers alone: ZooKeeper does nothing in the hot path of any of them."""
        return [pid for name, pid in self.pids.items() if name.startswith("kafka")]

    def broker_seconds(self) -> float:
        """CPU the brokers used so far."""
        return sum(cpu_seconds(pid) for pid in self.broker_pids())

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        """Labelled messages, the same number in each partition give or take one."""
        await self.create(topic, partitions)
        await self.produce(topic, messages=messages, size=size, partitions=partitions)

    async def produce(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        """As `fill`, into a topic that is there."""
        producer = AIOKafkaProducer(bootstrap_servers=self.brokers, linger_ms=20, max_batch_size=1 << 18)
        await producer.start()
        try:
            for number in range(messages):
                await producer.send(topic, label(number, size), partition=number % partitions)
        finally:
            await producer.stop()

    async def create(self, topic: str, partitions: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.brokers)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, partitions, 1)])
        finally:
            await admin.close()

    @staticmethod
    def version() -> str:
        """Of Kafka, as the stack's list of dependencies names it."""
        found = re.search(r"<kafka.version>(.*?)</", (ROOT / "compose/local/kafka/pom.xml").read_text())
        return f"Apache Kafka {found[1] if found else 'of unknown version'}"
