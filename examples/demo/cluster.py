"""What the workers say of themselves: who owns which partition, and who leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from examples.demo.servers import Worker, listed, say

#: Seconds until the partitions of a new cluster are shared and one leads: a few where nothing else runs.
_SETTLED = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The cluster, as one worker sees it."""

    #: Partition -> its owner.
    owners: dict[int, Worker]
    leader: Worker | None
    epoch: int | None
    #: Of the consumer group, as each worker knows it: one, unless a rebalance is on its way.
    generations: set[int]

    def partitions(self, worker: Worker) -> list[int]:
        return sorted(partition for partition, owner in self.owners.items() if owner is worker)


class Cluster:
    """Asks whichever worker still runs."""

    def __init__(self, http: aiohttp.ClientSession, workers: Sequence[Worker]) -> None:
        self.workers = workers
        self._http = http
        self._by_address = {worker.address.removeprefix("http://"): worker for worker in workers}

    @property
    def running(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.runs]

    async def ask(self, path: str) -> dict[str, Any]:
        async with self._http.get(self.running[-1].address + path) as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found

    async def look(self) -> View:
        rows = (await self.ask("/v1/workers"))["workers"]
        leads = await self.ask("/v1/leader")
        owners = {partition: self._named(row["address"]) for row in rows for partition in row["partitions"]}
        leader = self._named(leads["address"]) if leads["worker"] else None
        generations = {row["generation"] for row in rows}
        return View(owners=owners, leader=leader, epoch=leads["epoch"], generations=generations)

    async def settled(self, partitions: int) -> View:
        """Wait until every partition has an owner, every worker has some, and one leads."""
        until = time.monotonic() + _SETTLED
        while time.monotonic() < until:
            view = await self.look()
            shared = len(view.owners) == partitions and set(view.owners.values()) == set(self.workers)
            if shared and view.leader and len(view.generations) == 1:
                return view
            await asyncio.sleep(0.1)
        raise SystemExit(f"the workers have not shared the partitions within {_SETTLED:.0f} s: {view}")

    def show(self, view: View) -> None:
        for worker in self.running:
            leads = f", leads (epoch {view.epoch})" if worker is view.leader else ""
            say(f"  {worker} at {worker.address} owns partitions {listed(view.partitions(worker))}{leads}")

    def _named(self, address: str) -> Worker:
        return self._by_address[address.removeprefix("http://")]
