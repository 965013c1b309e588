"""All workers of a cluster are restarted, one after the other, while clients hold messages and ask for more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from support.clients import Client, Delivery, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import READY_TOGETHER, Worker, Workers

PARTITIONS = 6
HELD = 1000
#: They outlast the test, also on a busy machine: that is what is looked at.
HELD_FOR_MS = 600_000
SHARED = 40.0


class Rollers:
    """Clients that ask all the time, each at every worker in turn, ack what they get and take note of it all."""

    def __init__(self, clients: list[Client]) -> None:
        self._clients = clients
        self.workers: list[Worker] = []
        #: How often each message was handed out, to them and to those that hold.
        self.came: Counter[tuple[int, int]] = Counter()
        self.statuses: Counter[int] = Counter()
        self.acks: Counter[str] = Counter()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for one in self._clients:
                group.create_task(self._ask(one, over))
            try:
                yield
            finally:
                over.set()

    def note(self, messages: list[Delivery]) -> None:
        self.came.update((message.partition, message.offset) for message in messages)

    async def _ask(self, client: Client, over: asyncio.Event) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            at = self.workers[turn % len(self.workers)]
            pulled = await client.pull(at=at, wait_ms=1000, max_messages=10, ack_wait_ms=HELD_FOR_MS)
            self.statuses[pulled.status] += 1
            self.note(pulled.messages)
            left = {message.lease for message in pulled.messages}
            while left:
                # Whoever is there takes it: the worker that gave it may have gone meanwhile.
                settled = await client.ack(*left, at=self.workers[0])
                self.acks.update(settled.results.values())
                left = {lease for lease in left if settled.results.get(lease) == "retry"}


async def test_a_rolling_restart_hands_no_message_out_twice_and_answers_every_pull(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    for partition in range(PARTITIONS):
        await kafka.produce(topic, *(f"held {n}" for n in range(HELD // PARTITIONS + 1)), partition=partition)
    cluster = [workers.launch(topic, drain="1s") for _ in range(3)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in cluster))
    await eventually(partial(share, cluster), SHARED)
    rollers = Rollers([client(cluster[0], f"asks {number}") for number in range(4)])
    rollers.workers = list(cluster)
    holding = client(cluster[0], "holds")
    held: list[Delivery] = []
    while len(held) < HELD:
        at = cluster[len(held) % len(cluster)]
        pulled = await holding.pull(at=at, wait_ms=2000, max_messages=50, ack_wait_ms=HELD_FOR_MS)
        held += pulled.messages
    rollers.note(held)

    async with rollers.asking():
        number = 0

        async def more() -> None:
            """A few new messages everywhere, so that there is something to hand out in every state of the cluster."""
            nonlocal number
            number += 1
            for partition in range(PARTITIONS):
                await kafka.produce(topic, f"new {number}", partition=partition)

        async def join() -> None:
            rollers.workers.append(await workers.launch(topic, drain="1s").ready(READY_TOGETHER))
            await eventually(partial(share, rollers.workers), SHARED)
            await more()

        await join()
        for leaving in list(rollers.workers):
            # What has been asked of it is answered; who asks anew goes by /readyz.
            rollers.workers.remove(leaving)
            assert (await leaving.terminate(30.0)).code == 0
            await more()
            await join()
        ends = await kafka.ends(topic, range(PARTITIONS))
        await eventually(lambda: len(rollers.came) == sum(ends.values()), 30.0)

    assert {message: times for message, times in rollers.came.items() if times > 1} == {}
    assert rollers.statuses.keys() <= {200, 204}
    # Of one that was answered with retry nobody knew whether it counted; asked again, it may have.
    assert set(rollers.acks) <= {"retry", "late", "already_settled"}
    settled = await holding.ack(*(message.lease for message in held[:HELD]), at=rollers.workers[0])
    assert settled.acked == HELD, settled.results


async def share(workers: list[Worker]) -> bool:
    """Each has some partitions, and together they have all."""
    owned = [set(await worker.partitions()) for worker in workers]
    return all(owned) and sorted(number for numbers in owned for number in numbers) == list(range(PARTITIONS))
