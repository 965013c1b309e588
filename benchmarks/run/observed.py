"""A system whose doings are shown, and remembered for when something has to be stopped or blamed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.peers.system import Drain, Paced, Run, System

#: Told the system's name and what it does now.
Show = Callable[[str, str], None]


class Observed:
    """Stands before a system for one round."""

    def __init__(self, system: System, show: Show) -> None:
        self._system = system
        self._show = show
        self._versions: Mapping[str, str] = {}
        self.name = system.name
        self.durability = system.durability
        self.batch_means = system.batch_means
        self.keeps_messages = system.keeps_messages
        #: Whether `start` was called in this round.
        self.begun = False
        #: Whether there may be something to stop.
        self.running = False

    def versions(self) -> Mapping[str, str]:
        """Empty until it has started."""
        return self._versions

    async def start(self, where: Path) -> None:
        self._show(self.name, "starts")
        self.begun = self.running = True
        await self._system.start(where)
        # Some ask a program, which is not to hold up signals.
        self._versions = await asyncio.to_thread(self._system.versions)

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        self._show(self.name, f"is filled with {messages:,} messages of {size} bytes")
        await self._system.fill(topic, messages=messages, size=size, partitions=partitions)

    async def drain(self, topic: str, workload: Drain) -> Run:
        self._show(
            self.name,
            f"is drained of {workload.messages:,} messages, {workload.clients} clients, batches of {workload.batch}",
        )
        return await self._system.drain(topic, workload)

    async def paced(self, topic: str, workload: Paced) -> Run:
        self._show(self.name, f"gets {workload.rate:,} messages a second for {workload.seconds:.0f} s")
        return await self._system.paced(topic, workload)

    async def stop(self) -> None:
        """What a workload stopped already is stopped once."""
        if not self.running:
            return
        self._show(self.name, "stops")
        await self._system.stop()
        self.running = False
