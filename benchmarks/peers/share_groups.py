"""Kafka's share groups (KIP-932), in Java and with confluent-kafka in Python.

The broker needs nothing switched on: a cluster that Kafka 4.4 formatted has the feature `share.version`. Only where a
new group begins has to be said, which is an option of the group (`earliest` of java/src/main/java/bench/
ShareGroups.java); without it the group sees nothing of what was there before.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from benchmarks.peers import confluent
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.maven import class_path, output_folder
from benchmarks.peers.pacing import kafka_producer, paced_run
from benchmarks.peers.processes import output_of, run_of
from benchmarks.peers.system import ROOT, CannotRun, Drain, Paced, Run
from benchmarks.peers.watched import watched

Acks = Literal["implicit", "explicit"]


class ShareGroups:
    """A share group of its own for each run; the broker keeps its acks in a topic."""

    keeps_messages = True
    batch_means = (
        "max.poll.records, which the broker exceeds to hand out record batches as they were produced "
        "(share.acquire.mode=batch_optimized, the default); clients are members of the share group"
    )

    def __init__(self, language: Literal["java", "python"] = "java", acks: Acks = "implicit") -> None:
        self.name = f"share-groups-{language}" + ("-explicit" if acks == "explicit" else "")
        self._python = language == "python"
        self._acks: Acks = acks
        self._kafka = KafkaStack()
        self._where = Path()
        self._java: list[str] = []
        how = {
            "implicit": "acks ride on the next fetch and are not confirmed one by one, only all of them at the end",
            "explicit": "each message acked by itself, each poll's acks confirmed before the next one (commitSync)",
        }
        self.durability = f"{how[acks]}; the group's state is in Kafka: {KafkaStack.durability}"

    def versions(self) -> Mapping[str, str]:
        if self._python:
            said = (
                "import confluent_kafka as c; print(f'confluent-kafka {c.__version__}, librdkafka {c.libversion()[0]}')"
            )
            client = subprocess.check_output([confluent.PYTHON, "-c", said], text=True).strip()
            return {"broker": self._kafka.version(), "client": client, "python": sys.version.split()[0]}
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr.splitlines()[1]
        return {"broker": self._kafka.version(), "client": f"kafka-clients {_kafka_version()}", "java": java}

    async def start(self, where: Path) -> None:
        self._where = where
        self._java = await _build()
        if self._python:
            await confluent.install()
        await self._kafka.start()

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        await self._kafka.fill(topic, messages=messages, size=size, partitions=partitions)

    async def drain(self, topic: str, workload: Drain) -> Run:
        group = await self._new_group()
        run = await self._clients(topic, group, workload, 0)
        if run.messages != workload.messages:
            raise RuntimeError(f"{run.messages} of {workload.messages} came, and {run.duplicates} came again")
        await self._ask("settled", group)
        note = "each client's from its own first message on" if self._python else ""
        return replace(run, cpu_note=note)

    async def paced(self, topic: str, workload: Paced) -> Run:
        if self._python:
            raise CannotRun("not built for share groups in Python: those in Java are the same broker")
        await confluent.install()
        await self._kafka.create(topic, workload.partitions)
        group = await self._new_group()
        clients = self._clients(topic, group, workload, workload.uncounted, "stamped")

        async def all_wait() -> bool:
            await self._ask("joined", group, str(workload.partitions), str(workload.clients))
            return True

        run = await paced_run(workload, kafka_producer(topic, workload, self._kafka.brokers), clients, all_wait)
        await self._ask("settled", group)
        return run

    async def _new_group(self) -> str:
        group = f"bench{time.time_ns()}"
        await self._ask("earliest", group)
        return group

    async def _ask(self, what: str, group: str, *words: str) -> None:
        await output_of([*self._java, what, self._kafka.brokers, group, *words])

    async def _clients(
        self,
        topic: str,
        group: str,
        workload: Drain | Paced,
        uncounted: int,
        stamped: Literal["plain", "stamped"] = "plain",
    ) -> Run:
        numbers = [workload.messages, workload.clients, workload.batch]
        words = [self._kafka.brokers, group, topic, *map(str, numbers), self._acks]
        if self._python:
            command = [str(confluent.PYTHON), str(ROOT / "benchmarks/peers/share_client.py"), *words]
        else:
            command = [*self._java, "drain", *words, str(uncounted), stamped]
        return run_of(await watched(command, {"broker": self._kafka.broker_pids()}, self._where / f"{group}.log"))

    async def stop(self) -> None:
        await self._kafka.stop()


def _kafka_version() -> str:
    found = re.search(r"<kafka.version>(.*?)</", (ROOT / "compose/local/kafka/pom.xml").read_text())
    assert found, "compose/local/kafka/pom.xml names no kafka.version"
    return found[1]


async def _build() -> list[str]:
    """The command of the program in Java, as far as its arguments. Raises CannotRun with what Maven said."""
    output = output_folder("java")
    options = [f"-Dbench.output={output}", f"-Dkafka.version={_kafka_version()}"]
    sources = [ROOT / "compose/local/kafka/pom.xml", *sorted((ROOT / "benchmarks/peers/java").rglob("*.java"))]
    jars = await class_path("java", "package", options=options, sources=sources)
    classes = f"{output / 'classes'}{os.pathsep}{jars}"
    return ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classes, "bench.ShareGroups"]
