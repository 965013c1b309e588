"""Work for a cluster: numbered messages, and programs of each client library that handle them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.eventually import eventually
from support.kafka import Kafka
from support.programs import LIBRARIES, Programs

#: Messages handled between one fault and the next.
MEANWHILE = 40
#: Messages that wait at most: enough for all handlers, few enough to be worked off soon.
WAITING = 60


class Load:
    """As much of it as is handled, for as long as somebody wants."""

    def __init__(self, kafka: Kafka, topic: str, partitions: int, folder: Path) -> None:
        self.produced = 0
        self._kafka = kafka
        self._topic = topic
        self._partitions = partitions
        self._kinds = [Programs(library, folder) for library in LIBRARIES]
        self._enough = asyncio.Event()

    @asynccontextmanager
    async def at(self, *addresses: str) -> AsyncIterator[None]:
        """Until the end of the block; then what is left is handled, and the programs end as they are asked to."""
        producing = asyncio.create_task(self._produce())
        try:
            for programs in self._kinds:
                programs.start(*addresses, concurrency=2)
            yield
            self._enough.set()
            await producing
            await eventually(lambda: len(self.handled()) == self.produced, 60.0)
            assert {await program.stop() for kind in self._kinds for program in kind.all} == {0}
        finally:
            producing.cancel()
            for programs in self._kinds:
                programs.close()

    def handled(self) -> Counter[int]:
        """How often each message was."""
        return sum((programs.ended() for programs in self._kinds), Counter())

    async def goes_on(self) -> None:
        """Wait until some more have been handled."""
        done = len(self.handled())
        await eventually(lambda: len(self.handled()) > done + MEANWHILE, 40.0)

    async def _produce(self) -> None:
        while not self._enough.is_set():
            await eventually(lambda: self.produced - len(self.handled()) < WAITING, 60.0)
            text = json.dumps({"n": self.produced, "for": 0.1})
            await self._kafka.produce(self._topic, text, partition=self.produced % self._partitions)
            self.produced += 1
