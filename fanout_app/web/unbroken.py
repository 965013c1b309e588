"""Work that is brought to an end although its client hangs up: half of a seek is worse than either side of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

logger = logging.getLogger("fanout.web.unbroken")

T = TypeVar("T")


class Unbroken:
    """Owns the tasks of such work, and ends them with the server."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, what: str, work: Coroutine[Any, Any, T]) -> T:
        """Its result. Cancelled, the work goes on, and that it failed is logged if it does; ``what`` names it there."""
        task = asyncio.create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_failure)
            raise

    async def stop(self) -> None:
        """What is under way stops where it is, as if the worker had been killed there."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tell_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("%s failed after its client had gone: %s", task.get_name(), error)
