"""The election where there is no ZooKeeper: the owner of partition 0 leads, the group's generation is the epoch.

Kafka's coordinator is the lock then. What `Ownership` knows is when somebody else may own the partition: that is the
end of the right to lead as well.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from fanout_app.ports import Ownership

_FIRST = 0


class Owner(Protocol):
    """This worker, as the owner of partitions."""

    @property
    def generation(self) -> int: ...
    def owned(self) -> tuple[int, ...]:
        """None while a rebalance is under way."""


class GroupElection:
    """Kafka's word on who leads."""

    votes = False

    def __init__(self, owner: Owner, ownership: Ownership) -> None:
        self._owner = owner
        self._ownership = ownership

    def start(self, look: Callable[[], None], suspended: Callable[[], None]) -> None:
        """There is nothing to begin: the partitions are assigned with or without us."""

    async def stop(self) -> None:
        """The partitions are given up by themselves."""

    async def held(self) -> int | None:
        mine = _FIRST in self._owner.owned() and self._ownership.holds(self._ownership.term(), monotonic())
        return self._owner.generation if mine else None

    async def resign(self) -> None:
        """Not to be done: a worker that Kafka does not hear loses its partitions."""

    async def depose(self, epoch: int) -> bool:
        return False
