"""Puts messages away that nobody is to have again: first where such messages go, only then settled in the ledger.

A crash in between writes a message there twice, and never loses one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.redelivery import Spent
from fanout_app.core.resting import Resting
from fanout_app.group_commit import GroupCommit
from fanout_app.ports import DeadLetterSink, SourceError
from fanout_app.tasks import Tasks

logger = logging.getLogger("fanout.dead_lettering")

_AT_ONCE = 100
_WRITE_FOR = 5.0
_RETRY_PAUSE = 1.0


class DeadLettering:
    """Works off what the dispatcher has given up on, for as long as there is some."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        commit: GroupCommit,
        sink: DeadLetterSink,
        tasks: Tasks,
        take_more: Callable[[], None],
    ) -> None:
        """``take_more`` is called when messages have left and others may have been waiting for their room."""
        self._dispatcher = dispatcher
        self._resting = Resting(dispatcher)
        self._commit = commit
        self._sink = sink
        self._tasks = tasks
        self._take_more = take_more
        self._working = False
        self._failing = False

    def look(self) -> None:
        """Something may have been given up on."""
        if not self._working and any(partition.spent for partition in self._dispatcher.partitions.values()):
            self._working = True
            self._tasks.start(self._work(), "dead-lettering")

    async def _work(self) -> None:
        try:
            while spent := self._resting.spent():
                done: list[bool] = []
                # All in turn before any is tried again: some may never be taken, and must not hold up the others.
                for first in range(0, len(spent), _AT_ONCE):
                    done += await asyncio.gather(*map(self._put_away, spent[first : first + _AT_ONCE]))
                if not all(done):
                    await asyncio.sleep(_RETRY_PAUSE)
        finally:
            self._working = False

    async def _put_away(self, spent: Spent) -> bool:
        if not self._resting.is_spent(spent):
            return True  # settled while others were written, or the partition is somebody else's
        try:
            async with asyncio.timeout(_WRITE_FOR):
                await self._sink.put(
                    spent.partition,
                    spent.message,
                    delivery_count=spent.delivery_count,
                    reason=spent.reason,
                    client=spent.client,
                )
        except (SourceError, TimeoutError) as error:
            if not self._failing:
                logger.warning("dead letters are not written at the moment, they stay here: %r", error)
            self._failing = True
            return False
        self._failing = False
        if self._resting.put_away(spent):
            logger.warning(
                "partition %d/%d: given up on after %d deliveries (%s), client %s had it last",
                spent.partition, spent.message.offset, spent.delivery_count, spent.reason, spent.client or "unknown",
            )  # fmt: skip
            self._commit.kick()
            self._take_more()
        return True
