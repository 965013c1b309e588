"""Questions to other workers that wait for their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

from fanout_app.cluster.frames import Frame
from fanout_app.cluster.ports import Peer

T = TypeVar("T")


class Pending(Generic[T]):
    """Numbers questions, and brings each answer to who asked."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, tuple[Peer, asyncio.Future[T | None]]] = {}

    async def ask(self, peer: Peer, question: Callable[[int], Frame], within: float) -> T | None:
        """The answer of this worker to the question made with a number of ours.

        None if it did not come within so many seconds, or the connection was lost: what has become of it is not known.
        """
        number = next(self._numbers)
        answer: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._open[number] = peer, answer
        try:
            peer.send(question(number))
            async with asyncio.timeout(within):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._open[number]

    def answered(self, peer: Peer, number: int, answer: T) -> None:
        asked, waiting = self._open.get(number, (None, None))
        if asked is peer and waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def lost(self, peer: Peer) -> None:
        for asked, waiting in self._open.values():
            if asked is peer and not waiting.done():
                waiting.set_result(None)
