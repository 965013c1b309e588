"""Which floors are mirrored and when: once a second those of partitions that are ours, and at a stop the last ones."""

from __future__ import annotations

from time import monotonic

from fanout_app.core.start import Mirrored
from fanout_app.ports import Ownership
from fanout_app.runtime import Runtime
from fanout_app.zookeeper.mirror import Mirror


class Mirroring:
    """The floors of one worker on their way to ZooKeeper."""

    def __init__(self, mirror: Mirror, runtime: Runtime, terms: Ownership) -> None:
        self._mirror = mirror
        self._runtime = runtime
        self._terms = terms
        self._last: dict[int, Mirrored] = {}

    async def write(self) -> None:
        """Mirror what has changed, if these partitions are ours for certain. To be called again and again."""
        if self._terms.holds(self._terms.term(), monotonic()):
            await self._mirror.write(self._floors())

    def leaving(self) -> None:
        """The partitions are about to be given up: keep where they stand, for `stop`."""
        self._last = self._floors()

    async def stop(self) -> None:
        """Mirror the last floors.

        The partitions may be somebody else's by now. The floors are true all the same: the changelog has them.
        """
        await self._mirror.write(self._last | self._floors())

    def _floors(self) -> dict[int, Mirrored]:
        """What the changelog has acknowledged."""
        partitions = self._runtime.dispatcher.partitions
        floors = {}
        for number, floor in self._runtime.commit.committable().items():
            ledger = partitions[number].ledger
            floors[number] = Mirrored(ledger.era, floor, ledger.topic_id)
        return floors
