"""Kafka 3.9 beside ZooKeeper, for systems that Kafka 4 refuses to talk to: it dropped the requests that they know.

Both are as small and as quick to start as the stack's servers, with the same options of the JVM.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.maven import class_path
from benchmarks.peers.processes import end, free_port, launch, listening, tail
from benchmarks.peers.system import ROOT, CannotRun

BROKER = 1
#: Seconds to get ready in.
PATIENCE = 30.0
JVM = (
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
    f"-Dlog4j.configuration=file:{ROOT / 'benchmarks/peers/kafka39/log4j.properties'}",
)


class Kafka39(KafkaStack):
    """One broker and the ZooKeeper that it keeps its metadata in."""

    def __init__(self) -> None:
        super().__init__()
        self._servers: list[subprocess.Popen[bytes]] = []

    async def start_in(self, where: Path) -> None:
        """Raises CannotRun with the end of the log of what does not start."""
        jars = await class_path("kafka39")
        zookeeper, kafka = free_port(), free_port()
        self.zookeepers, self.brokers = f"127.0.0.1:{zookeeper}", f"127.0.0.1:{kafka}"
        self.pids = {}
        settings = {
            "zoo.cfg": {
                "dataDir": where / "zookeeper",
                "clientPort": zookeeper,
                "clientPortAddress": "127.0.0.1",
                "admin.enableServer": "false",
            },
            "server.properties": {
                "zookeeper.connect": self.zookeepers,
                "broker.id": BROKER,
                "listeners": f"PLAINTEXT://{self.brokers}",
                "log.dirs": where / "kafka",
                "auto.create.topics.enable": "false",
                "offsets.topic.replication.factor": 1,
                "offsets.topic.num.partitions": 4,
                "group.initial.rebalance.delay.ms": 0,
                "num.network.threads": 2,
                "num.io.threads": 4,
                "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            },
        }
        mains = ["-Xmx128m org.apache.zookeeper.server.quorum.QuorumPeerMain", "-Xms128m -Xmx384m kafka.Kafka"]
        for (name, some), main, port in zip(settings.items(), mains, (zookeeper, kafka), strict=True):
            file, log = where / name, where / f"{name}.log"
            file.write_text("".join(f"{key}={value}\n" for key, value in some.items()))
            *memory, starts = main.split()
            server = launch(["java", *JVM, *memory, "-cp", jars, starts, str(file)], log)
            self._servers.append(server)
            await listening(port, server, log)
            self.pids["zookeeper-1" if port == zookeeper else "kafka-1"] = server.pid
        await self._ready(where / "server.properties.log")

    async def _ready(self, log: Path) -> None:
        """A broker listens before it is known to its controller, which is itself; until then topics are refused."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(KafkaError):
                admin = AIOKafkaAdminClient(bootstrap_servers=self.brokers)
                try:
                    await admin.start()
                    cluster = await admin.describe_cluster()
                finally:
                    await admin.close()
                if cluster["brokers"] and cluster["controller_id"] == BROKER:
                    return
            await asyncio.sleep(0.05)
        raise CannotRun(f"Kafka 3.9 does not get ready: {tail(log)}")

    async def stop(self) -> None:
        # The broker first: it would wait for its ZooKeeper.
        while self._servers:
            await end(self._servers.pop())

    @staticmethod
    def version() -> str:
        return "Apache Kafka 3.9.1 beside ZooKeeper 3.8.4"
