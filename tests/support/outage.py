"""A service in full work while its Kafka goes away and comes back: what is to be seen of it from outside."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import aiohttp

from support.book import Book
from support.clients import Client, Delivery, MakeClient
from support.crew import Crew
from support.eventually import eventually
from support.kafka import Kafka, Record
from support.stack import Stack
from support.workers import Worker

#: Seconds that a busy machine may take for what takes a moment alone.
SOON = 60.0
#: `docs/api.md` allows a settle 5 s, and a pull as much beyond what it waits; the rest is the way there and back.
ANSWERED = 5.0 + 2.0
_CLIENTS = ("one", "two", "three")


class Service:
    """Some workers of one id, clients at work at all of them, and somebody who asks how they are all the time."""

    def __init__(self, stack: Stack, kafka: Kafka, topic: str, partitions: int, workers: Sequence[Worker]) -> None:
        self.stack = stack
        self.kafka = kafka
        self.topic = topic
        self.partitions = partitions
        self.workers = list(workers)
        self.book = Book()
        self.crew = Crew(self.book)
        #: How each worker answered /readyz, and what it gave as reasons for being degraded.
        self.ready: Counter[int] = Counter()
        self.degraded: list[tuple[float, Worker, list[str]]] = []
        self._written: set[tuple[int, int]] = set()

    async def produce(self, each: int) -> list[Record]:
        """So many messages to each partition."""
        written = [
            record
            for partition in range(self.partitions)
            for record in await self.kafka.produce(self.topic, *map(str, range(each)), partition=partition)
        ]
        self.book.add(written)
        self._written |= {(record.partition, record.offset) for record in written}
        return written

    async def shared(self) -> bool:
        """For `eventually`: whether each worker has partitions, and all of them together have all."""
        owned = [set(await worker.partitions()) for worker in self.workers]
        return all(owned) and sorted(number for one in owned for number in one) == list(range(self.partitions))

    @asynccontextmanager
    async def at_work(self, client: MakeClient, session: aiohttp.ClientSession) -> AsyncIterator[None]:
        for worker in self.workers:
            self.crew.join(worker)
        async with (
            self.crew.working([client(self.workers[0], name) for name in _CLIENTS]),
            asyncio.TaskGroup() as group,
        ):
            asking = [group.create_task(self._ask_on(worker, session)) for worker in self.workers]
            try:
                yield
            finally:
                for one in asking:
                    one.cancel()

    async def _ask_on(self, worker: Worker, session: aiohttp.ClientSession) -> None:
        within = aiohttp.ClientTimeout(total=ANSWERED)
        while True:
            async with session.get(f"{worker.url}/readyz", timeout=within) as response:
                self.ready[response.status] += 1
            async with session.get(f"{worker.url}/v1/status", timeout=within) as response:
                self.degraded.append((monotonic(), worker, (await response.json())["degraded"]))
            await asyncio.sleep(0.2)

    def was_degraded(self, begin: float, end: float) -> bool:
        """Whether every worker said so of itself at some time between these."""
        said = {worker for at, worker, reasons in self.degraded if begin < at < end and reasons}
        return said == set(self.workers)

    def is_acked(self, records: Sequence[Record]) -> bool:
        return all((record.partition, record.offset) in self.crew.acked for record in records)

    def acked_between(self, begin: float, end: float) -> list[tuple[int, int]]:
        """The messages of which an ack was asked for and answered as done then.

        One that was asked for before may have been written: what the last broker said before it ended is still read.
        """
        return [message for message, ack in self.crew.acked.items() if begin < ack.asked and ack.answered < end]

    async def is_as_before(self) -> None:
        """Wait until all is worked off and committed; nothing of it was lost, or came again after its ack.

        Raises:
            AssertionError: something did.
        """
        ends = await self.kafka.ends(self.topic, range(self.partitions))
        await eventually(lambda: self._written <= self.crew.acked.keys(), SOON)
        await eventually(lambda: self.kafka.has_committed(self.workers[0].id, self.topic, ends), SOON)
        self.book.check(await self.kafka.committed(self.workers[0].id, self.topic))
        assert self.crew.came_again == []
        assert self.crew.slowest_ack < ANSWERED
        assert self.crew.slowest_pull < ANSWERED
        assert all(worker.runs for worker in self.workers), "a worker ended"
        assert set(self.ready) == {200}

    # What is done to it -----------------------------------------------------------------------------------------------

    async def kill_brokers(self, *numbers: int) -> None:
        await asyncio.to_thread(self.stack.kill, *(f"kafka-{number}" for number in numbers))

    async def start_brokers(self, *numbers: int) -> None:
        """Returns when they answer."""
        await asyncio.to_thread(self.stack.start, *(f"kafka-{number}" for number in numbers))


async def settle_alone(session: aiohttp.ClientSession, worker: Worker, held: Delivery) -> tuple[int, str | None, float]:
    """Ack one message in the way of curl: the status, ``Retry-After``, and how long the answer took."""
    began = monotonic()
    url = f"{worker.url}/v1/leases/{held.lease}"
    async with session.delete(url, timeout=aiohttp.ClientTimeout(total=ANSWERED)) as response:
        return response.status, response.headers.get("Retry-After"), monotonic() - began


async def is_done(session: aiohttp.ClientSession, worker: Worker, held: Delivery) -> bool:
    """For `eventually`: whether an ack of this message is answered as done."""
    return (await settle_alone(session, worker, held))[0] == 204


async def hold(client: Client, count: int) -> list[Delivery]:
    """Take messages and keep them for as long as any outage here lasts."""
    return await client.take(count, ack_wait_ms=600_000)
