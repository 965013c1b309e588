"""A ZooKeeper in memory, as far as the mirror uses it, and a session that is connected to it or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

from fanout_app.zookeeper.session import Contact, ZooKeeperError


class Stat(NamedTuple):
    version: int


class Answer:
    """What kazoo answers at once, to be waited for."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome

    def get(self, timeout: float) -> Any:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


class FakeZooKeeper:
    def __init__(self) -> None:
        self.nodes: dict[str, tuple[bytes, int]] = {}
        self.reads = self.writes = 0
        #: Called between the reading of a node and whatever is written next, once.
        self.meanwhile: Callable[[], None] | None = None

    def get_async(self, path: str) -> Answer:
        self.reads += 1
        if path not in self.nodes:
            return Answer(NoNodeError())
        data, version = self.nodes[path]
        return Answer((data, Stat(version)))

    def create_async(self, path: str, data: bytes, *, makepath: bool) -> Answer:
        self._interrupt()
        if path in self.nodes:
            return Answer(NodeExistsError())
        self.put(path, data)
        return Answer(path)

    def set_async(self, path: str, data: bytes, *, version: int) -> Answer:
        self._interrupt()
        if version not in (-1, self.nodes[path][1]):  # as ZooKeeper has it: -1 is any
            return Answer(BadVersionError())
        self.put(path, data)
        return Answer(Stat(version + 1))

    def put(self, path: str, data: bytes) -> None:
        self.writes += 1
        self.nodes[path] = (data, self.nodes[path][1] + 1 if path in self.nodes else 0)

    def _interrupt(self) -> None:
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()


class FakeSession:
    def __init__(self, zookeeper: FakeZooKeeper) -> None:
        self.zookeeper = zookeeper
        self.connected = True
        self._listeners: list[Callable[[Contact], None]] = []

    def listen(self, listener: Callable[[Contact], None]) -> None:
        self._listeners.append(listener)

    def tell(self, contact: Contact) -> None:
        for listener in self._listeners:
            listener(contact)

    async def reached(self, within: float) -> None:
        if not self.connected:
            raise ZooKeeperError("nobody answers")

    async def call(self, work: Callable[[Any], Any]) -> Any:
        if not self.connected:
            raise ZooKeeperError("not connected")
        return work(self.zookeeper)
