"""Clients at work on several workers at once, for as long as it takes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from time import monotonic
from typing import NamedTuple

import aiohttp

from support.book import Book
from support.clients import Client, Delivery
from support.workers import Worker

#: The answers after which a message is done for good.
_DONE = {"late", "already_settled"}
#: Short: an answer that a dying worker had under way is lost with its leases.
_ACK_WAIT_MS = 2000
_WAIT_MS = 200
_PAUSE = 0.05


class Acked(NamedTuple):
    """When an ack that was answered as done was asked for, and answered."""

    asked: float
    answered: float


class Crew:
    """Every client pulls at every worker, acks what it gets, and asks elsewhere where an ack is not taken."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._workers: list[Worker] = []
        #: By message, its first one.
        self.acked: dict[tuple[int, int], Acked] = {}
        #: Messages that were handed out by a pull which was sent after their ack had been answered.
        self.came_again: list[Delivery] = []
        #: Worker -> how many messages it handed out.
        self.handed_out: Counter[Worker] = Counter()
        #: Every answer to an ack that was not plainly done.
        self.statuses: Counter[str] = Counter()
        #: Seconds that the slowest answer took, beyond what the pull itself said it would wait.
        self.slowest_pull = 0.0
        self.slowest_ack = 0.0

    @asynccontextmanager
    async def working(self, clients: Iterable[Client]) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._work(one)) for one in clients]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    def join(self, worker: Worker) -> None:
        self._workers.append(worker)

    def leave(self, worker: Worker) -> None:
        self._workers.remove(worker)

    async def _work(self, client: Client) -> None:
        while True:
            pulls = [self._pull_at(client, worker) for worker in self._workers]
            await asyncio.gather(*pulls)

    async def _pull_at(self, client: Client, worker: Worker) -> None:
        sent = monotonic()
        try:
            pulled = await client.pull(at=worker, wait_ms=_WAIT_MS, max_messages=20, ack_wait_ms=_ACK_WAIT_MS)
        except aiohttp.ClientConnectionError:
            # It is on its way out, or has just gone: the next turn asks those that are left.
            await asyncio.sleep(_PAUSE)
            return
        self.slowest_pull = max(self.slowest_pull, monotonic() - sent - _WAIT_MS / 1000)
        self.handed_out[worker] += len(pulled.messages)
        self.came_again += [
            message
            for message in pulled.messages
            if (ack := self.acked.get((message.partition, message.offset))) is not None and ack.answered < sent
        ]
        left = {message.lease: message for message in pulled.messages}
        self._book.acking(*pulled.messages)
        while left:
            # First where they came from; a partition that has moved is somebody else's to settle.
            for asked in [worker, *(other for other in self._workers if other is not worker)]:
                if left:
                    await self._ack(client, asked, left)
            if left:
                await asyncio.sleep(_PAUSE)

    async def _ack(self, client: Client, asked: Worker, left: dict[str, Delivery]) -> None:
        """Ack at one worker, and take out of ``left`` what it has taken."""
        sent = monotonic()
        try:
            settled = await client.ack(*left, at=asked)
        except aiohttp.ClientConnectionError:
            return
        self.slowest_ack = max(self.slowest_ack, monotonic() - sent)
        for lease, message in list(left.items()):
            status = settled.results.get(lease)
            if status is not None:
                self.statuses[status] += 1
            if status is None or status in _DONE:
                self.acked.setdefault((message.partition, message.offset), Acked(sent, monotonic()))
                del left[lease]
