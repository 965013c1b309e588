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

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.maven import class_path, output_folder
from benchmarks.peers.processes import Pids, output_of, run_of
from benchmarks.peers.system import CACHE, ROOT, CannotRun, Drain, Paced, Run
from benchmarks.peers.watched import watched

#: It says of its ShareConsumer that it is a preview.
CONFLUENT_KAFKA = "2.16.1"
ENVIRONMENT = CACHE / f"confluent-kafka-{CONFLUENT_KAFKA}"

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
            client = subprocess.check_output([ENVIRONMENT / "bin/python", "-c", said], text=True).strip()
            return {"broker": self._kafka.version(), "client": client, "python": sys.version.split()[0]}
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr.splitlines()[1]
        return {"broker": self._kafka.version(), "client": f"kafka-clients {_kafka_version()}", "java": java}

    async def start(self, where: Path) -> None:
        self._where = where
        self._java = await _build()
        if self._python:
            await _install()
        await self._kafka.start()

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        await self._kafka.fill(topic, messages=messages, size=size, partitions=partitions)

    async def drain(self, topic: str, workload: Drain) -> Run:
        brokers, group = self._kafka.brokers, f"bench{time.time_ns()}"
        await output_of([*self._java, "earliest", brokers, group])
        client = [str(ENVIRONMENT / "bin/python"), str(ROOT / "benchmarks/peers/share_client.py")]
        numbers = [workload.messages, workload.clients, workload.batch]
        command = [*(client if self._python else [*self._java, "drain"]), brokers, group, topic, *map(str, numbers)]
        pids: Pids = {"broker": self._kafka.broker_pids()}
        run = run_of(await watched([*command, self._acks], pids, self._where / f"{group}.log"))
        if run.messages != workload.messages:
            raise RuntimeError(f"{run.messages} of {workload.messages} came, and {run.duplicates} came again")
        await output_of([*self._java, "settled", brokers, group])
        note = "each client's from its own first message on" if self._python else ""
        return replace(run, cpu_note=note)

    async def paced(self, topic: str, workload: Paced) -> Run:
        raise CannotRun("not built yet")

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


async def _install() -> None:
    """An environment of its own: the project's has no use for confluent-kafka. Raises CannotRun with what pip said."""
    if (ENVIRONMENT / "installed").exists():
        return
    try:
        await output_of([sys.executable, "-m", "venv", ENVIRONMENT])
        python = ENVIRONMENT / "bin/python"
        await output_of([python, "-m", "pip", "install", "--quiet", f"confluent-kafka=={CONFLUENT_KAFKA}"])
    except RuntimeError as error:
        raise CannotRun(f"confluent-kafka {CONFLUENT_KAFKA} cannot be installed: {error}") from error
    (ENVIRONMENT / "installed").touch()
