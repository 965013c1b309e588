"""Workers of one id of which one leads: who they say it is, how long a change takes, and what the board has of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp
import msgspec

from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker

_ROUND = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer of a worker to who leads, and the time between which it was asked and answered."""

    by: Worker
    asked: float
    answered: float
    worker: str | None
    epoch: int | None
    me: bool
    acting: bool


class Leaders:
    """Watches these workers all the time; those that do not answer within a moment are left out."""

    def __init__(self, session: aiohttp.ClientSession, workers: Iterable[Worker]) -> None:
        self._session = session
        self.workers = list(workers)
        self.said: list[Said] = []

    async def ask(self, worker: Worker, within: float = 5.0) -> Said:
        asked = monotonic()
        timeout = aiohttp.ClientTimeout(total=within)
        async with self._session.get(f"{worker.url}/v1/leader", timeout=timeout) as response:
            assert response.status == 200, await response.text()
            answer: dict[str, Any] = await response.json()
        address = answer.pop("address")
        assert (address is None) == (answer["worker"] is None)
        said = Said(by=worker, asked=asked, answered=monotonic(), **answer)
        self.said.append(said)
        return said

    async def agreed(self, among: Iterable[Worker]) -> Said:
        """What the leader says of itself, when all of these follow it.

        Raises:
            AssertionError: they do not.
        """
        answers = [await self.ask(worker) for worker in among]
        assert len({(said.worker, said.epoch) for said in answers}) == 1, answers
        acting = [said for said in answers if said.acting]
        assert len(acting) == 1, answers
        assert acting[0].me, answers
        return acting[0]

    async def settled(self, deadline: float, *without: Worker, after: Said | None = None) -> Said:
        """Wait until all, but for some, follow one leader among them, of a later epoch than that one."""
        among = [worker for worker in self.workers if worker not in without]

        async def later() -> Said | None:
            said = await self.agreed(among)
            return said if after is None or (said.epoch or 0) > (after.epoch or 0) else None

        said = await eventually(later, deadline)
        assert said is not None
        return said

    @asynccontextmanager
    async def watched(self, *workers: Worker) -> AsyncIterator[None]:
        """Ask these on and on meanwhile."""

        async def watch(worker: Worker) -> None:
            while True:
                try:
                    await self.ask(worker)
                except (aiohttp.ClientConnectionError, TimeoutError):
                    await asyncio.sleep(_ROUND)
                await asyncio.sleep(_ROUND)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watch(worker)) for worker in workers or self.workers]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    def overlaps(self) -> list[tuple[Said, Said]]:
        """Who claimed to lead when a leader of a higher epoch had acted already: beside each claim that leader's word.

        Who may act and does not name itself knows of a higher epoch than its own.
        """
        acting = [said for said in self.said if said.acting and said.me]
        return [
            (first, late)
            for first in acting
            for late in self.said
            if late.by is not first.by
            and late.asked > first.answered
            and ((late.acting and not late.me) or (late.me and (late.epoch or 0) < (first.epoch or 0)))
        ]


async def leader_records(kafka: Kafka, worker: Worker) -> list[tuple[str, int]]:
    """Worker and epoch of every record of a leader on the board, in its order; compaction takes its time."""
    records = await kafka.records_in(f"fanout_{worker.id}_{worker.topic}")
    rows = [msgspec.msgpack.decode(record.value[1:]) for record in records if record.key == b"leader"]
    return [(row[2], row[4]) for row in rows]


def stale(records: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those that came after one of a higher epoch."""
    highest, found = 0, []
    for worker, epoch in records:
        if epoch < highest:
            found.append((worker, epoch))
        highest = max(highest, epoch)
    return found
