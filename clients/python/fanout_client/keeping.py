"""Extends leases in the background, for asyncio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from time import monotonic

from fanout_client.errors import FanoutError
from fanout_client.held import Held
from fanout_client.wire import MOST_ENTRIES, Settled

logger = logging.getLogger("fanout_client")


class Keeping:
    """One task a client; requests run beside each other, so that one that is not answered holds up no other lease."""

    def __init__(self, held: Held, extend: Callable[[list[str]], Awaitable[Settled]]) -> None:
        self._held = held
        self._extend = extend
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._run(self._keep())

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def take(self, leases: Iterable[str]) -> None:
        self._held.take(leases, monotonic())
        self._changed.set()

    def end(self, leases: Iterable[str]) -> None:
        self._held.end(leases)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            due = self._held.next()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - monotonic())):
                    await self._changed.wait()
            except TimeoutError:
                leases = self._held.due(monotonic())
                for start in range(0, len(leases), MOST_ENTRIES):
                    self._run(self._extend_these(leases[start : start + MOST_ENTRIES]))

    async def _extend_these(self, leases: list[str]) -> None:
        try:
            settled = await self._extend(leases)
        except FanoutError as error:
            logger.warning("leases could not be extended, their messages may be delivered again: %s", error)
            return
        self._held.answered(settled, monotonic())
