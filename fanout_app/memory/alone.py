"""A cluster of one: it owns everything, leads at once, and hears itself."""

from __future__ import annotations

from collections.abc import Callable


class Alone:
    """The runtime's `Terms`, and what else there is to a group of one: nobody else ever owns anything."""

    def term(self) -> int:
        return 1

    def holds(self, term: int, now: float) -> bool:
        return True

    def trusted(self, now: float) -> bool:
        return True

    def rebalance_ended(self, term: int) -> bool:
        return True

    async def others(self) -> bool:
        return False

    def leaving(self) -> None:
        pass

    async def leave(self) -> bool:
        return True


class MemorySwitch:
    """Remembers nothing: what was paused ends with the process."""

    async def remember(self, *, paused: bool) -> bool:
        return paused


class MemoryElection:
    """Whoever is alone leads."""

    votes = False

    def start(self, look: Callable[[], None], suspended: Callable[[], None]) -> None:
        pass

    async def held(self) -> int | None:
        return 1

    async def resign(self) -> None:
        pass

    async def depose(self, epoch: int) -> bool:
        return False

    async def stop(self) -> None:
        pass
