"""Clients of several groups at work on several workers: who tried which message, in which order, and how it ended."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from time import monotonic
from typing import Literal, NamedTuple

import aiohttp

from support.clients import Client, Delivery
from support.kafka import Kafka
from support.workers import Worker

Place = tuple[int, int]
Outcome = Literal["acked", "nacked", "left"]
#: What a client makes of a message; one that is "left" is neither acked nor nacked.
Handle = Callable[[Delivery], Awaitable[Outcome]]

_WAIT_MS = 500
_PAUSE = 0.1
#: Seconds between two lots that are produced.
_TURN = 0.05


class Tried(NamedTuple):
    """One delivery."""

    #: When the answer came.
    at: float
    group: str
    place: Place
    outcome: Outcome
    delivery_count: int


async def well(message: Delivery) -> Outcome:
    return "acked"


class Fleet:
    """All clients, and the producer that keeps them busy."""

    def __init__(self, session: aiohttp.ClientSession, workers: Iterable[Worker]) -> None:
        self._session = session
        self.workers = list(workers)
        self._names = count(1)
        self.tried: list[Tried] = []
        self.produced: dict[Place, float] = {}

    @asynccontextmanager
    async def working(
        self, group: str, clients: int, handle: Handle = well, *, most: int = 5, ack_wait_ms: int = 5000
    ) -> AsyncIterator[None]:
        """So many clients of a group are at work meanwhile, spread over the workers."""
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(self._work(group, handle, most, ack_wait_ms)) for _ in range(clients)]
            try:
                yield
            finally:
                for task in working:
                    task.cancel()

    async def _work(self, group: str, handle: Handle, most: int, ack_wait_ms: int) -> None:
        number = next(self._names)
        while True:
            alive = [worker for worker in self.workers if worker.runs]
            client = Client(self._session, alive[number % len(alive)], f"{group}-{number}")
            try:
                pulled = await client.pull(group=group, max_messages=most, wait_ms=_WAIT_MS, ack_wait_ms=ack_wait_ms)
                if pulled.status == 503:
                    await asyncio.sleep(_PAUSE)
                    continue
                at = monotonic()
                outcomes = await asyncio.gather(*map(handle, pulled.messages))
                done = list(zip(pulled.messages, outcomes, strict=True))
                self.tried += [
                    Tried(at, group, (one.partition, one.offset), outcome, one.delivery_count) for one, outcome in done
                ]
                acked = [one.lease for one, outcome in done if outcome == "acked"]
                nacked = [{"lease": one.lease} for one, outcome in done if outcome == "nacked"]
                if acked or nacked:
                    await client.settle(ack=acked, nack=nacked)
            except aiohttp.ClientError:
                await asyncio.sleep(_PAUSE)  # its worker is on its way out

    @asynccontextmanager
    async def fed(self, kafka: Kafka, topic: str, partitions: int, *, rate: float) -> AsyncIterator[None]:
        """So many messages a second are produced meanwhile, round the partitions."""
        task = asyncio.create_task(self._feed(kafka, topic, partitions, rate))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _feed(self, kafka: Kafka, topic: str, partitions: int, rate: float) -> None:
        began = monotonic()
        for turn in count(1):
            # At once: a busy machine has no time for each of hundreds a second.
            values = [f"{turn}-{number}" for number in range(round(rate * _TURN))]
            for record in await kafka.produce(topic, *values, partition=turn % partitions):
                self.produced[record.partition, record.offset] = monotonic()
            await asyncio.sleep(max(0.0, began + turn * _TURN - monotonic()))

    # What came of it -------------------------------------------------------------------------------------------------

    def by_message(self) -> dict[Place, list[Tried]]:
        """Its deliveries, in the order in which the answers came."""
        deliveries: dict[Place, list[Tried]] = defaultdict(list)
        for tried in sorted(self.tried):
            deliveries[tried.place].append(tried)
        return deliveries

    def first_tries(self, since: float, until: float) -> Sequence[Tried]:
        """The first deliveries of messages, those between two moments."""
        firsts = [deliveries[0] for deliveries in self.by_message().values()]
        return [tried for tried in firsts if since <= tried.at <= until]

    def missing(self) -> set[Place]:
        """What was produced and not acked."""
        return self.produced.keys() - {tried.place for tried in self.tried if tried.outcome == "acked"}
