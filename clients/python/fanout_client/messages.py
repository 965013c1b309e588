"""Messages in a loop: `async for message in client`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

from fanout_client.loop import Loop
from fanout_client.message import Message
from fanout_client.outcome import Batch
from fanout_client.unsettled import Unsettled


class Messages:
    """One loop, see `Loop`."""

    def __init__(self, loop: Loop, take: Callable[[Unsettled], Awaitable[Batch]]) -> None:
        self._loop = loop
        self._take = take

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        self._loop.end()
        while not (batch := await self._take(self._loop.unsettled)):
            pass
        return self._loop.begin(batch)
