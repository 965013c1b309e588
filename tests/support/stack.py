"""A Kafka and a ZooKeeper of one run of the tests alone."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from support.network.commands import run
from support.network.isolation import inside
from support.network.network import Network

ROOT = Path(__file__).resolve().parents[2]

#: What would make tests wait for minutes otherwise: a dead member keeps its partitions for a session, and a compacted
#: topic keeps what it is to lose until the cleaner comes by. And records of years ago, which some tests write, would be
#: deleted by the check for retention that comes by once in five minutes.
_BROKER_OPTIONS = ("group.min.session.timeout.ms=1000", "log.cleaner.backoff.ms=500", "log.retention.ms=-1")

#: Of a disk that is to be filled.
_SMALL = "64m"
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses, and the faults that can be done to the servers behind them."""

    name: str
    brokers: str
    zookeepers: str
    #: The server whose disk can be filled, if there is one.
    small_disk: str = ""

    def servers(self, kind: str) -> tuple[str, ...]:
        """The names of those of this kind, ``kafka`` or ``zookeeper``."""
        addresses = self.brokers if kind == "kafka" else self.zookeepers
        return tuple(f"{kind}-{number}" for number, _ in enumerate(filter(None, addresses.split(",")), 1))

    def state(self, server: str) -> str:
        """Whether it is up, paused or down."""
        known = {stack["name"]: stack for stack in json.loads(_run("status", "--json"))}
        return str(known[self.name]["servers"][server]["state"])

    def kill(self, *servers: str) -> None:
        _run("kill", *servers, "--name", self.name)

    def start(self, *servers: str) -> None:
        """Start those that have ended, together, and wait for all: a ZooKeeper alone is of no use to a majority."""
        _run("start", *servers, "--name", self.name)

    def start_all(self) -> None:
        _run("up", "--name", self.name)

    def runs(self, server: str) -> bool:
        """Whether it is there, be it paused; one may also end by itself."""
        stacks = {one["name"]: one for one in json.loads(_run("status", "--json"))}
        return bool(stacks[self.name]["servers"][server]["state"] != "down")

    def pause(self, *servers: str) -> None:
        _run("pause", *servers, "--name", self.name)

    def resume(self, *servers: str) -> None:
        _run("resume", *servers, "--name", self.name)

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

    def lose_data(self, zookeeper: str) -> None:
        """Leave nothing of what this server knows, which is killed: started again it is a new one."""
        shutil.rmtree(_disk_of(self.name, zookeeper) / "version-2")

    def _log_of(self, topic: str) -> Path:
        return _disk_of(self.name, "kafka-1") / f"{topic}-0"

    # A small disk -----------------------------------------------------------------------------------------------------

    def fill_disk(self, server: str) -> None:
        """Leave no room on the disk of its own that this server has."""
        with self._ballast(server).open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(_BLOCK))

    def free_disk(self, server: str) -> None:
        """Undo `fill_disk`."""
        self._ballast(server).unlink()

    def _ballast(self, server: str) -> Path:
        return _disk_of(self.name, server) / "ballast"


def kafka_tool(name: str, *arguments: str) -> str:
    """What a command line tool of Kafka prints, by the name of its class: ``AclCommand``."""
    class_path = (ROOT / ".local" / "classpath" / "kafka.txt").read_text().strip()
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", class_path, f"org.apache.kafka.tools.{name}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def running_stack(
    *,
    kafka: int = 1,
    zookeeper: int = 1,
    broker_options: Iterable[str] = (),
    network: Network | None = None,
    small_disk: str = "",
) -> Iterator[Stack]:
    """Up under a name that nobody else has, and down again whatever happens meanwhile.

    With a network each server is a node of it, of the server's name. With the name of a server as ``small_disk`` its
    data is on a disk of its own, which can be filled.
    """
    name = f"tests-{os.getpid()}-{secrets.token_hex(3)}"
    options = [f"--broker-option={option}" for option in (*_BROKER_OPTIONS, *broker_options)]
    sizes = ["--kafka", str(kafka), "--zookeeper", str(zookeeper)]
    places = _places(network, {"kafka": kafka, "zookeeper": zookeeper}) if network else []
    with _disk(name, small_disk) if small_disk else nullcontext():
        try:
            described = json.loads(_run("up", "--json", "--name", name, *sizes, *options, *places))
            yield Stack(name, described["brokers"], described["zookeepers"], small_disk)
        finally:
            _run("down", "--name", name)


def _places(network: Network, counts: dict[str, int]) -> list[str]:
    servers = [f"{kind}-{number}" for kind, count in counts.items() for number in range(1, count + 1)]
    nodes = [network.add(server) for server in servers]
    return [f"--place={node.name}={node.address},{node.netns}" for node in nodes]


@contextmanager
def _disk(stack: str, server: str) -> Iterator[None]:
    """A file system where the server's data is to be; only where a mount is gone with the test: in `bin/isolated`."""
    if not inside():
        raise RuntimeError("a small disk is mounted for this: bin/isolated .venv/bin/pytest ...")
    folder = _disk_of(stack, server)
    folder.mkdir(parents=True)
    run("mount", "-t", "tmpfs", "-o", f"size={_SMALL}", "tmpfs", str(folder))
    try:
        yield
    finally:
        run("umount", "--lazy", str(folder))  # whoever looks through all folders just now may hold it a moment longer
        shutil.rmtree(folder.parents[1])


def _disk_of(stack: str, server: str) -> Path:
    return ROOT / ".local" / "stacks" / stack / server / "data"


def _run(*arguments: str) -> str:
    done = subprocess.run(
        [ROOT / "bin" / "stack", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise RuntimeError(f"bin/stack {' '.join(arguments)}: {done.stderr}")
    return done.stdout
