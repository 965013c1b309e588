"""Reads messages again that slept through a long delay, when they are due and somebody is there to take them.

Each partition by itself: the leader of one may be gone for long, and the others' messages are not to wait for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.resting import Resting
from fanout_app.group_commit import GroupCommit
from fanout_app.ports import Bodies, SourceError
from fanout_app.tasks import Tasks

logger = logging.getLogger("fanout.waking")

#: Messages of one partition that are read at a time.
_AT_ONCE = 200
_RETRY_PAUSE = 1.0


class Waking:
    """Works off what is due, for as long as there is some."""

    def __init__(
        self, dispatcher: Dispatcher, commit: GroupCommit, bodies: Bodies, tasks: Tasks, serve: Callable[[], None]
    ) -> None:
        """``serve`` is called when messages are there to be handed out again."""
        self._dispatcher = dispatcher
        self._resting = Resting(dispatcher)
        self._commit = commit
        self._bodies = bodies
        self._tasks = tasks
        self._serve = serve
        self._working = False
        self._news = asyncio.Event()

    def look(self) -> None:
        """Something may be due, or wanted that was not before."""
        self._news.set()
        if not self._working and self._resting.anything_due():
            self._working = True
            self._tasks.start(self._work(), "waking")

    async def _work(self) -> None:
        reading: set[asyncio.Task[Any]] = set()
        try:
            while True:
                self._news.clear()
                due = self._resting.to_read(_AT_ONCE, monotonic())
                reading |= {asyncio.create_task(self._read(number, offsets)) for number, offsets in due.items()}
                if not reading:
                    return
                news = asyncio.create_task(self._news.wait())
                try:
                    done, _ = await asyncio.wait({news, *reading}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    news.cancel()
                reading -= done
                for one in done - {news}:
                    one.result()
        finally:
            self._working = False
            for one in reading:
                one.cancel()

    async def _read(self, number: int, offsets: list[int]) -> None:
        partition = self._dispatcher.partitions.get(number)
        if partition is None:
            return
        era = partition.ledger.era
        try:
            found = await self._bodies.read(number, offsets)
        except SourceError as error:
            logger.warning("partition %d: %d delayed messages cannot be read yet: %s", number, len(offsets), error)
            self._resting.not_read(number, offsets)
            await asyncio.sleep(_RETRY_PAUSE)
            return
        lost = self._resting.awake(number, era, offsets, found, monotonic())
        if lost:
            logger.error("partition %d: %d delayed messages were deleted from the log meanwhile", number, lost)
            self._commit.kick()
        self._serve()
