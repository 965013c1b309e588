"""How a worker goes that was told to: out of the group as soon as others are there, and a little later out of service.

The owner of a partition serves it until it leaves the group, so one that is alone goes on for the whole drain. Where
others are there it leaves at once, so that they have its partitions before its process has ended, and is a spare for
the rest of the drain.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol

from fanout_app.runtime import Runtime

#: How often a worker that is alone looks whether somebody has come to take over.
_LOOK_EVERY = 0.2


class Group(Protocol):
    """The consumer group, for who is about to leave it. Nothing here raises."""

    async def others(self) -> bool:
        """Whether there is another member to take over; False where that cannot be found out."""

    def leaving(self) -> None:
        """From here on this worker owns nothing: nothing is handed out, and nobody is told that an ack counted."""

    async def leave(self) -> bool:
        """Commit the floors, and be no member any more, for good. False if that is left to the end of the consumer."""


class Departure:
    """The way out of one worker."""

    def __init__(self, runtime: Runtime, group: Group, *, drain: float) -> None:
        """``drain``: seconds for which requests are served after the stop was asked for."""
        self._runtime = runtime
        self._group = group
        self._drain = drain
        self._going: asyncio.Task[bool] | None = None

    async def go(self) -> bool:
        """Stop being ready at once, serve for the drain, hand everything over. Called again: wait for the first call.

        Returns:
            False if not every ledger could be written: what it would have held may come again.
        """
        if self._going is None:
            self._going = asyncio.create_task(self._go(), name="departure")
        return await asyncio.shield(self._going)

    async def _go(self) -> bool:
        served = self._runtime.stop_begins()
        until = monotonic() + (self._drain if served else 0.0)
        early = served and await self._others_come(until)
        if early:
            written = await self._hand_over()
            await asyncio.sleep(until - monotonic())
        self._runtime.send_home()
        return written if early else await self._hand_over()

    async def _others_come(self, until: float) -> bool:
        """Whether there is, or comes before the end of the drain, somebody to take over."""
        while monotonic() < until:
            if await self._group.others():
                return True
            await asyncio.sleep(min(_LOOK_EVERY, max(0.0, until - monotonic())))
        return False

    async def _hand_over(self) -> bool:
        """Answer what has been settled so far, and give everything up."""
        written = await self._runtime.write_all()
        self._group.leaving()
        await self._runtime.give_up()
        left = written and await self._group.leave()
        self._runtime.left_group(forget=left)
        return written
