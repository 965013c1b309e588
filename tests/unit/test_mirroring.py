"""Only who owns a partition for certain mirrors it, and what it gives up is mirrored at the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from fanout_app.core.start import Mirrored
from fanout_app.mirroring import Mirroring
from fanout_app.ports import Ownership
from fanout_app.runtime import Runtime
from fanout_app.zookeeper.mirror import Mirror


class Worker:
    """What the mirroring sees of one: floors by partition, and whether they are its own for certain."""

    def __init__(self) -> None:
        self.owns = True
        self.floors: dict[int, Mirrored] = {}
        self.mirrored: list[dict[int, Mirrored]] = []
        self.commit = SimpleNamespace(committable=lambda: {number: one.floor for number, one in self.floors.items()})

    @property
    def dispatcher(self) -> Any:
        ledgers = {number: SimpleNamespace(ledger=one) for number, one in self.floors.items()}
        return SimpleNamespace(partitions=ledgers)

    async def write(self, floors: dict[int, Mirrored]) -> None:
        self.mirrored.append(floors)

    def term(self) -> int:
        return 1

    def holds(self, term: int, now: float) -> bool:
        return self.owns


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def mirroring(worker: Worker) -> Mirroring:
    return Mirroring(cast(Mirror, worker), cast(Runtime, worker), cast(Ownership, worker))


async def test_era_and_floor_are_mirrored_while_the_partitions_are_ours(worker: Worker, mirroring: Mirroring) -> None:
    worker.floors = {0: Mirrored(0, 7), 3: Mirrored(2, 5)}
    await mirroring.write()
    worker.owns = False
    worker.floors = {0: Mirrored(0, 9)}
    await mirroring.write()
    assert worker.mirrored == [{0: Mirrored(0, 7), 3: Mirrored(2, 5)}]


async def test_what_was_given_up_is_mirrored_as_it_stood_and_what_was_not_as_it_stands(
    worker: Worker, mirroring: Mirroring
) -> None:
    worker.floors = {0: Mirrored(0, 7), 1: Mirrored(0, 1)}
    mirroring.leaving()
    worker.owns = False
    worker.floors = {1: Mirrored(0, 2)}
    await mirroring.stop()
    assert worker.mirrored == [{0: Mirrored(0, 7), 1: Mirrored(0, 2)}]
