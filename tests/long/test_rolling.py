"""A thousand leases while a worker joins three others and each of the four is restarted: nobody notices."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp

from support.book import Book, watched_commits
from support.clients import Client, Delivery, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import READY_TOGETHER, Worker, Workers

ID = "service"
PARTITIONS = 6
LEASES = 1000
CLIENTS = 10
#: Counted anew by each owner, so this outlasts the test on a busy machine too.
ACK_WAIT_MS = 60_000


class Shift:
    """The workers that are in service, and clients that pull at each of them all the time."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.delivered: list[Delivery] = []
        self.statuses: Counter[int] = Counter()

    async def pull_all_along(self, client: Client) -> None:
        while True:
            for worker in list(self.workers):
                try:
                    pulled = await client.pull(at=worker, wait_ms=300, max_messages=100, ack_wait_ms=ACK_WAIT_MS)
                except aiohttp.ClientConnectionError:
                    assert worker not in self.workers, "a worker in service hung up"
                    continue
                self.statuses[pulled.status] += 1
                self.delivered += pulled.messages

    async def settled_down(self) -> bool:
        owned: list[int] = []
        for worker in self.workers:
            if (await worker.status())["degraded"]:
                return False
            owned += await worker.partitions()
        return sorted(set(owned)) == list(range(PARTITIONS))


async def test_a_rolling_restart_of_four_delivers_nothing_twice(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    book = Book()
    for partition in range(PARTITIONS):
        count = LEASES // PARTITIONS + (partition < LEASES % PARTITIONS)
        book.add(await kafka.produce(topic, *map(str, range(count)), partition=partition))
    shift = Shift()
    shift.workers = [workers.launch(topic) for _ in range(3)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in shift.workers))
    async with watched_commits(kafka, book, id=ID, topic=topic), asyncio.TaskGroup() as group:
        clients = [client(shift.workers[0], f"client {number}") for number in range(CLIENTS)]
        pulling = [group.create_task(shift.pull_all_along(one)) for one in clients]
        await eventually(lambda: len(shift.delivered) == LEASES, 30.0)

        shift.workers.append(await workers.launch(topic).ready(READY_TOGETHER))
        await eventually(shift.settled_down, 30.0)
        for _ in range(4):
            leaving = shift.workers.pop(0)
            assert (await leaving.terminate(20.0)).code == 0
            await eventually(shift.settled_down, 30.0)
            shift.workers.append(await workers.launch(topic).ready(READY_TOGETHER))
            await eventually(shift.settled_down, 30.0)

        assert len(shift.delivered) == LEASES, "a message came twice"
        assert set(shift.statuses) <= {200, 204}
        for task in pulling:
            task.cancel()
        book.acking(*shift.delivered)
        for first in range(0, LEASES, 100):
            left = [message.lease for message in shift.delivered[first : first + 100]]
            while left:
                settled = await clients[0].ack(*left, at=shift.workers[0])
                assert set(settled.results.values()) <= {"retry"}, "each of them is live still"
                left = list(settled.results)
        ends = await kafka.ends(topic, range(PARTITIONS))
        await eventually(lambda: kafka.has_committed(ID, topic, ends), 20.0)
