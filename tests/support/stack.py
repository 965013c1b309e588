"""A Kafka and a ZooKeeper of one run of the tests alone."""

from __future__ import annotations

import json
import os
import secrets
import struct
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: What would make tests wait for minutes otherwise: a dead member keeps its partitions for a session, and a compacted
#: topic keeps what it is to lose until the cleaner comes by.
_BROKER_OPTIONS = ("group.min.session.timeout.ms=1000", "log.cleaner.backoff.ms=200")


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses, and the faults that can be done to the servers behind them."""

    name: str
    brokers: str
    zookeepers: str

    def kill(self, server: str) -> None:
        _run("kill", server, "--name", self.name)

    def start(self, server: str) -> None:
        _run("start", server, "--name", self.name)

    def start_all(self) -> None:
        """Start all that were killed, together: a ZooKeeper alone cannot become ready where a majority is needed."""
        _run("up", "--name", self.name)

    def pause(self, server: str) -> None:
        _run("pause", server, "--name", self.name)

    def resume(self, server: str) -> None:
        _run("resume", server, "--name", self.name)

    def truncate_log(self, topic: str, offset: int) -> None:
        """Cut the log of partition 0 off before the batch that holds this offset, as a broker's lost disk blocks do.

        Of a stack with one Kafka that is killed and will be started again. Indexes and what is known of producers are
        made anew from the log. A batch begins with its first offset and its length behind these twelve bytes (Kafka's
        record batch, version 2).
        """
        for kept in self._log_of(topic).iterdir():
            if kept.suffix in (".index", ".timeindex", ".snapshot"):
                kept.unlink()
        (segment,) = self._log_of(topic).glob("*.log")
        data, at = segment.read_bytes(), 0
        while at < len(data):
            first, length = struct.unpack_from(">qi", data, at)
            (last_delta,) = struct.unpack_from(">i", data, at + 23)
            if first + last_delta >= offset:
                break
            at += 12 + length
        segment.write_bytes(data[:at])

    def begin_log_at(self, topic: str, offset: int) -> None:
        """Make the log of partition 0 an empty one that begins there, as after years of retention.

        Of a stack with one Kafka that is killed and will be started again.
        """
        folder = self._log_of(topic)
        for kept in folder.iterdir():
            if kept.name != "partition.metadata":
                kept.unlink()
        for kind in ("log", "index", "timeindex"):
            (folder / f"{offset:020d}.{kind}").touch()

    def _log_of(self, topic: str) -> Path:
        return ROOT / ".local" / "stacks" / self.name / "kafka-1" / "data" / f"{topic}-0"


def kafka_tool(name: str, *arguments: str) -> str:
    """What a command line tool of Kafka prints, by the name of its class: ``AclCommand``."""
    class_path = (ROOT / ".local" / "classpath" / "kafka.txt").read_text().strip()
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", class_path, f"org.apache.kafka.tools.{name}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def running_stack(*, kafka: int = 1, zookeeper: int = 1, broker_options: Iterable[str] = ()) -> Iterator[Stack]:
    """Up under a name that nobody else has, and down again whatever happens meanwhile."""
    name = f"tests-{os.getpid()}-{secrets.token_hex(3)}"
    options = [f"--broker-option={option}" for option in (*_BROKER_OPTIONS, *broker_options)]
    sizes = ["--kafka", str(kafka), "--zookeeper", str(zookeeper)]
    try:
        described = json.loads(_run("up", "--json", "--name", name, *sizes, *options))
        yield Stack(name, described["brokers"], described["zookeepers"])
    finally:
        _run("down", "--name", name)


def _run(*arguments: str) -> str:
    done = subprocess.run(
        [ROOT / "bin" / "stack", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise RuntimeError(f"bin/stack {' '.join(arguments)}: {done.stderr}")
    return done.stdout
