"""Faust's recovery of the Table, in a way that outlasts Kafka being away.

Stock Faust gives each of its steps as long as one request may take. A step that is not done by then it takes for its
own stop, and ends without a word: the worker keeps its partitions, and begins none of them until it is restarted.

Rule for this file: a step ends when it is done, with the next rebalance, or with the worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP
from faust.types.transports import ConsumerT
from mode import Service
from mode.services import WaitArgT
from mode.utils.times import Seconds

from fanout_app.kafka.errors import is_refusal

logger = logging.getLogger("fanout.kafka.recovery")

_RETRY_PAUSE = 0.2
#: Seconds between two looks at how far there is to read.
_LOOK_EVERY = 5.0


class RecoveryEndedError(Exception):
    """The recovery has ended although the worker goes on: it would begin no partition any more."""


class LedgerRecovery(Recovery):
    """One that ends with its worker, and not before."""

    @Service.task
    async def _restart_recovery(self) -> None:
        """Raises RecoveryEndedError: stock Faust's has given up, for whatever reason it ends with."""
        try:
            await Recovery._restart_recovery.fun(self)
        except asyncio.CancelledError:
            # Of something that it waited for, unless it is this task itself that is to end.
            task = asyncio.current_task()
            if task is None or task.cancelling() or self.should_stop:
                raise
        if not self.should_stop:
            raise RecoveryEndedError("the recovery of the ledgers has ended by itself: start the worker again")

    async def _wait(self, coro: WaitArgT, timeout: Seconds | None = None) -> None:
        """Wait for a step. Raises what Faust's own raises when a rebalance begins or the worker stops."""
        await super()._wait(coro)

    async def _build_highwaters(self, consumer: ConsumerT, tps: set[TP], destination: Counter[TP], title: str) -> None:
        await _answered(partial(super()._build_highwaters, consumer, tps, destination, title))

    async def _build_offsets(self, consumer: ConsumerT, tps: set[TP], destination: Counter[TP], title: str) -> None:
        await _answered(partial(super()._build_offsets, consumer, tps, destination, title))

    @Service.task
    async def _look_how_far(self) -> None:
        """A leader that has lost the end of its log never comes to the offset that the recovery waits for."""
        while not self.should_stop:
            await self.sleep(_LOOK_EVERY)
            if self.in_recovery:
                await self.look_how_far()

    async def look_how_far(self) -> None:
        """Wait for no more than what is there to be read."""
        awaited = dict(self.active_highwaters)
        try:
            ends = await self.app.consumer.highwaters(*awaited)
        except KafkaError as error:
            logger.debug("the ends of changelogs were not looked at: %r", error)
            return
        for tp, end in ends.items():
            # Faust's highwater is the offset of the last row.
            if end is not None and self.active_highwaters.get(tp) == awaited[tp] > end - 1:
                logger.warning("%s ends at %d, and had rows up to %d", tp, end, awaited[tp])
                self.active_highwaters[tp] = end - 1


class LedgerTables(TableManager):
    """Faust's, with that recovery."""

    _recovery: LedgerRecovery | None = None

    @property
    def recovery(self) -> LedgerRecovery:
        if self._recovery is None:
            self._recovery = LedgerRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


async def _answered(ask: Callable[[], Awaitable[Any]]) -> None:
    """Raises KafkaError: the answer is a refusal."""
    while True:
        try:
            await ask()
            return
        except KafkaError as error:
            if is_refusal(error):
                raise
            logger.debug("asked again: %r", error)
            await asyncio.sleep(_RETRY_PAUSE)
