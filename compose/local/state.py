"""What is known about a stack between two commands: one JSON file in the stack's own folder."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from ports import HOST
from processes import start_time

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
STACKS = LOCAL / "stacks"
LOCKS = LOCAL / "locks"


class Place(NamedTuple):
    """Where a server runs."""

    #: Where it is reached by everybody, its peers included.
    host: str = HOST
    #: The network namespace, by its name; none: that of whoever starts it.
    netns: str = ""


@dataclass(slots=True)
class Server:
    kind: str
    node: int
    port: int
    #: ZooKeeper: peers and elections. Kafka: the controller.
    inner_ports: list[int]
    options: dict[str, str]
    pid: int = 0
    started: int = 0
    #: Its `Place`.
    host: str = HOST
    netns: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.node}"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def alive(self) -> bool:
        return self.pid > 0 and start_time(self.pid) == self.started


@dataclass(slots=True)
class Stack:
    name: str
    cluster_id: str
    servers: list[Server] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return STACKS / self.name

    def folder_of(self, server: Server) -> Path:
        return self.folder / server.name

    def log_of(self, server: Server) -> Path:
        return self.folder / f"{server.name}.log"

    def of_kind(self, kind: str) -> list[Server]:
        return [server for server in self.servers if server.kind == kind]

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        written = self.folder / "stack.json.new"
        written.write_text(json.dumps(asdict(self), indent=1))
        written.rename(self.folder / "stack.json")

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def load(name: str) -> Stack | None:
    try:
        kept = json.loads((STACKS / name / "stack.json").read_text())
    except FileNotFoundError:
        return None
    servers = [Server(**server) for server in kept.pop("servers")]
    return Stack(**kept, servers=servers)


def names() -> list[str]:
    return sorted(path.parent.name for path in STACKS.glob("*/stack.json"))


def ports_in_use() -> set[int]:
    """Also those of servers that are down just now and will want them back."""
    stacks = [stack for name in names() if (stack := load(name))]
    return {port for stack in stacks for server in stack.servers for port in (server.port, *server.inner_ports)}


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One command at a time; the file stays, since the stack's folder comes and goes."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
