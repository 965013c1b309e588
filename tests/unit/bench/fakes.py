"""A system and a workload that need no servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.system import CannotRun, Cpu, Drain, Paced, Percentiles, Run
from benchmarks.workloads.workload import CannotBeRun, Ratio, Round, Row

#: What a drain of these comes to.
RUN = Run(
    messages=1000,
    duplicates=1,
    seconds=0.5,
    until_first=0.25,
    cpu=Cpu(server=0.004, broker=None, clients=0.002),
    latencies={"pull": Percentiles(1.0, 2.0, 3.0)},
)


class FakeSystem:
    """Writes down what it is told to do."""

    durability = "none"
    batch_means = "nothing"

    def __init__(self, name: str, log: list[str], *, keeps_messages: bool = True) -> None:
        self.name = name
        self.keeps_messages = keeps_messages
        self._log = log
        #: What to raise, by the name of the method.
        self.faults: dict[str, Exception] = {}

    def versions(self) -> Mapping[str, str]:
        return {self.name: "1"}

    async def start(self, where: Path) -> None:
        self._does("start")

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        self._does("fill", topic)

    async def drain(self, topic: str, workload: Drain) -> Run:
        self._does("drain", topic)
        return RUN

    async def paced(self, topic: str, workload: Paced) -> Run:
        raise CannotRun("not built")

    async def stop(self) -> None:
        self._does("stop")

    def _does(self, what: str, *more: str) -> None:
        self._log.append(" ".join((self.name, what, *more)))
        if fault := self.faults.get(what):
            raise fault


Said = Row | CannotBeRun


@dataclass
class FakeWorkload:
    """Starts each system, and says what `measure` says of it; leaves stopping to the runner."""

    measure: Callable[[str], Sequence[Said]] = lambda name: [Row(name, "a case", {"msg/s": 1.0})]
    name: str = "fake"
    title: str = "nothing"
    with_peers: bool = True
    ratios: Sequence[Ratio] = ()
    rounds: list[Round] = field(default_factory=list)

    async def round(self, given: Round) -> AsyncIterator[Said]:
        self.rounds.append(given)
        for system in given.systems:
            await system.start(given.where)
            for one in self.measure(system.name):
                yield one


class Silent:
    """A watcher that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def round(self, number: int, of: int) -> None:
        self.lines.append(f"round {number} of {of}")

    def does(self, system: str, what: str) -> None:
        self.lines.append(f"{system} {what}")

    def measured(self, row: Row, course: object) -> None:
        self.lines.append(f"{row.system} measured")

    def cannot(self, one: CannotBeRun) -> None:
        self.lines.append(f"{one.system} cannot")

    def failed(self, failure: object) -> None:
        self.lines.append("failed")
