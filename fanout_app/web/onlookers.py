"""Those who look on: what they are shown is made once a second, however many they are, and only while there is one.

Nobody is waited for. Who is slower than the others goes on with the latest, and what came between is not kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic

logger = logging.getLogger("fanout.web.onlookers")

#: Seconds from the beginning of one to that of the next.
EVERY = 1.0


class NoPlaceError(Exception):
    """There are as many already as there may be."""


class _Show:
    """What is shown from the first who comes until the last one goes."""

    def __init__(self, make: Callable[[], Awaitable[bytes]], stopping: Callable[[], bool]) -> None:
        self._make = make
        self._stopping = stopping
        #: How many there were; the last of them.
        self.number = 0
        self.latest = b""
        self.ended = False
        #: Set with each, and another one put in its place; set when all is over.
        self.news = asyncio.Event()
        self._task = asyncio.create_task(self._go_on(), name="show")

    def end(self) -> asyncio.Task[None]:
        """Nothing more is shown; the task that is returned ends soon."""
        self.ended = True
        self.news.set()
        self._task.cancel()
        return self._task

    async def _go_on(self) -> None:
        try:
            while not self._stopping():
                began = monotonic()
                self.latest = await self._make()
                self.number += 1
                news, self.news = self.news, asyncio.Event()
                news.set()
                await asyncio.sleep(max(0.0, began + EVERY - monotonic()))
        except Exception:
            # Told, and the end for who looks on; messages are handed out as ever.
            logger.exception("what is shown to those who look on cannot be made; please report this")
        self.ended = True
        self.news.set()


class Onlooker:
    """One of them."""

    def __init__(self, show: _Show) -> None:
        self._show = show
        self._seen = 0

    async def next(self) -> bytes | None:
        """The latest, once it is another one than before; None: there will be no more."""
        while not self._show.ended:
            if self._seen != self._show.number:
                self._seen = self._show.number
                return self._show.latest
            await self._show.news.wait()
        return None


class Onlookers:
    """All of them at one worker."""

    def __init__(self, make: Callable[[], Awaitable[bytes]], stopping: Callable[[], bool], *, most: int) -> None:
        """``make`` gives what is shown; once ``stopping``, nothing is any more. There may be ``most`` of them."""
        self._make = make
        self._stopping = stopping
        self._most = most
        self._count = 0
        self._show: _Show | None = None

    @contextmanager
    def one(self) -> Iterator[Onlooker]:
        """A place for one more.

        Raises:
            NoPlaceError: there is none.
        """
        if self._count >= self._most:
            raise NoPlaceError
        if self._show is None or self._show.ended:
            self._show = _Show(self._make, self._stopping)
        self._count += 1
        try:
            yield Onlooker(self._show)
        finally:
            self._count -= 1
            if not self._count and self._show is not None:
                self._show.end()
                self._show = None

    async def stop(self) -> None:
        """Everybody is told at once that there is no more."""
        if self._show is not None:
            await asyncio.gather(self._show.end(), return_exceptions=True)
