"""A partition in which groups have no ledgers yet begins with all groups that there are, at whatever worker.

Until they have their rows in it nothing of it is fetched: whoever joined behind the others would have lost what these
were offered. That all of them have is kept in the partition's own row, so it is found out once in the partition's life;
an owner that ends before that row is written leaves it to the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Set

from fanout_app.core.ledger import PartitionLedger
from fanout_app.core.passing import Passing
from fanout_app.ledger_group import Around

logger = logging.getLogger("fanout.broadcast")

_BACKOFF = 0.2

#: Answers the names of all groups at all workers; None as long as not all owners have told theirs.
Everywhere = Callable[[], Awaitable[Set[str] | None]]


class Opening:
    """Opens the partitions of this worker that are not open yet."""

    def __init__(
        self,
        intake: Passing,
        around: Around,
        *,
        everywhere: Everywhere,
        let_in: Callable[[int, Set[str]], Awaitable[bool]],
        opened: Callable[[], None],
    ) -> None:
        """``let_in`` answers whether all of these groups have their rows now; ``opened`` is told when one is open."""
        self._intake = intake
        self._moved = around.moved
        self._terms = around.terms
        self._tasks = around.tasks
        self._everywhere = everywhere
        self._let_in = let_in
        self._opened = opened
        self._opening: dict[int, asyncio.Task[None]] = {}

    def begin(self, number: int) -> None:
        """This worker has just taken the partition on."""
        ledger = self._intake.partitions[number].ledger
        if not ledger.opened:
            self._opening[number] = self._tasks.start(self._open(number, ledger), f"open-{number}")

    def end(self, number: int) -> None:
        """It is about to be somebody else's."""
        opening = self._opening.pop(number, None)
        if opening is not None:
            opening.cancel()

    async def _open(self, number: int, ledger: PartitionLedger) -> None:
        while True:
            await self._moved.wait()
            if await self._all_are_in(number):
                del self._opening[number]
                ledger.open()
                logger.debug("partition %d: all groups that there are have joined", number)
                self._opened()
                return
            await asyncio.sleep(_BACKOFF)

    async def _all_are_in(self, number: int) -> bool:
        term = self._terms.term()
        groups = await self._everywhere()
        if groups is None:
            return False
        # In another term somebody may have joined whose worker knew of another owner.
        return await self._let_in(number, groups) and term == self._terms.term()
