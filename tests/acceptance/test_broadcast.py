"""``--delivery broadcast`` with real workers: every group gets every message, and never again what it has acked."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial

from support.clients import Client, MakeClient, Pulled
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import READY_TOGETHER, Worker, Workers

PARTITIONS = 4
MESSAGES = 1000
TTL = 4.0
#: For all of it on a busy machine; who waits for the end of it waits in vain.
LONG = 60.0


class Group:
    """A client that is a group of its own, and what it has been given."""

    def __init__(self, client: Client, **fields: str) -> None:
        self.client = client
        self.fields = fields
        self.got: Counter[str | None] = Counter()
        self.acked: set[str | None] = set()
        #: What it got although an ack of it was answered.
        self.again: list[str | None] = []

    async def pull(self, most: int, at: Worker, wait_ms: int = 1000) -> Pulled:
        try:
            return await self.client.pull(at=at, max_messages=most, wait_ms=wait_ms, ack_wait_ms=2000, **self.fields)
        except OSError:
            return Pulled(status=503)

    async def join(self, at: Worker) -> None:
        async def joined() -> bool:
            return (await self.pull(1, at, 0)).status == 204

        await eventually(joined, LONG, every=0.05)

    async def get(self, until: int, at: Worker, *, most: int = 50) -> None:
        """Take and ack until there are so many different ones."""
        deadline = time.monotonic() + LONG
        while len(self.got) < until:
            assert time.monotonic() < deadline, f"{self.client.name} has {len(self.got)} of {until}"
            await self.round(at, most)

    async def round(self, at: Worker, most: int = 50, wait_ms: int = 1000) -> None:
        pulled = await self.pull(most, at, wait_ms)
        if pulled.status == 503:
            await asyncio.sleep(0.1)
        self.got.update(pulled.values)
        self.again += [value for value in pulled.values if value in self.acked]
        if pulled.messages:
            await self._ack(pulled, at)

    async def _ack(self, pulled: Pulled, at: Worker) -> None:
        try:
            settled = await self.client.ack(*pulled.leases, at=at)
        except OSError:
            return
        open_still = {lease for lease, status in settled.results.items() if status not in ("late", "already_settled")}
        self.acked.update(message.value for message in pulled.messages if message.lease not in open_still)


async def produced(kafka: Kafka, topic: str, first: int, count: int) -> None:
    for number in range(PARTITIONS):
        values = [f"{value}" for value in range(first + number, first + count, PARTITIONS)]
        await kafka.produce(topic, *values, partition=number)


async def test_each_of_three_gets_all_and_nothing_again_whoever_dies(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    launch = partial(workers.launch, topic, delivery="broadcast", client_ttl=f"{TTL}s", max_ack_pending="100")
    first, second, third = [launch() for _ in range(3)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in (first, second, third)))
    a, b, c = (Group(client(worker, name)) for worker, name in ((first, "a"), (second, "b"), (third, "c")))
    await asyncio.gather(a.join(first), b.join(second), c.join(third))
    await produced(kafka, topic, 0, MESSAGES)
    await asyncio.gather(a.get(MESSAGES, first), b.get(MESSAGES, second), c.get(MESSAGES, third))

    # One dies: the others wait for it no longer than its ttl, though the window is far smaller than what there is.
    await produced(kafka, topic, MESSAGES, MESSAGES)
    await asyncio.gather(a.get(2 * MESSAGES, first), b.get(2 * MESSAGES, second))
    assert len(c.got) == MESSAGES

    # A worker dies: its partitions are somebody else's, with the ledgers of both.
    third.kill9()
    await asyncio.gather(*(group.round(first) for group in (a, b) for _ in range(3)))
    await produced(kafka, topic, 2 * MESSAGES, 40)
    await asyncio.gather(a.get(2 * MESSAGES + 40, first), b.get(2 * MESSAGES + 40, second))

    # All workers are restarted.
    await asyncio.gather(first.terminate(30.0), second.terminate(30.0))
    last = await launch().ready()
    await produced(kafka, topic, 2 * MESSAGES + 40, 40)
    await asyncio.gather(a.get(2 * MESSAGES + 80, last), b.get(2 * MESSAGES + 80, last))
    assert a.again == b.again == []
    assert set(a.got) == set(b.got) == {f"{value}" for value in range(2 * MESSAGES + 80)}


async def test_who_joins_while_partitions_move_misses_nothing_and_clients_of_a_group_share(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    launch = partial(workers.launch, topic, delivery="broadcast", client_ttl="20s")
    worker = await launch().ready()
    two = [Group(client(worker, name), group="two") for name in ("one", "other")]
    await two[0].join(worker)
    moving = launch()
    sent = 0
    joining: list[asyncio.Task[None]] = []
    groups: list[tuple[Group, int]] = []
    while not await _has_some(moving) or len(groups) < 5:
        group = Group(client(worker, f"late-{len(groups)}"))
        await group.join(worker)
        groups.append((group, sent))
        await produced(kafka, topic, sent, PARTITIONS)
        sent += PARTITIONS
        await asyncio.sleep(0.2)
    for group, missed in groups:
        joining.append(asyncio.create_task(group.get(sent - missed, worker)))
    await asyncio.gather(*joining)
    for group, missed in groups:
        assert {f"{value}" for value in range(missed, sent)} <= set(group.got)
        assert group.again == []

    deadline = time.monotonic() + LONG
    while len(two[0].got) + len(two[1].got) < sent and time.monotonic() < deadline:
        await asyncio.gather(two[0].round(worker, 1), two[1].round(moving, 1))
    assert two[0].got.keys().isdisjoint(two[1].got)
    assert len(two[0].got) + len(two[1].got) == sent
    assert all(group.got for group in two)


async def _has_some(worker: Worker) -> bool:
    try:
        return bool(await worker.partitions())
    except OSError:
        return False
