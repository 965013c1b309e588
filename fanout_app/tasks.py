"""Background tasks that somebody owns: a fault in one of them ends the worker, and all of them end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fanout_app.core.errors import FanoutError


class TaskEndedError(FanoutError):
    """A task has ended although nobody asked it to: something that it waited for was cancelled."""


class Tasks:
    """The tasks of one owner."""

    def __init__(self, on_fault: Callable[[BaseException], None]) -> None:
        """``on_fault`` is told of an error that a task did not deal with."""
        self._on_fault = on_fault
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            if (error := task.exception()) is not None:
                self._on_fault(error)
        elif not task.cancelling():
            self._on_fault(TaskEndedError(f"{task.get_name()} has ended by itself: start the worker again"))

    async def stop(self) -> None:
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
