"""Workers far away from their servers and from each other, or behind a thin line: slower, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from statistics import median
from time import monotonic
from typing import NamedTuple

import aiohttp
import pytest

from support.clients import Client, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.leaders import Leaders
from support.network.network import Network, Node
from support.outage import ANSWERED, SOON, Service
from support.stack import Stack
from support.workers import READY_TOGETHER, Workers

PARTITIONS = 4
EACH = 20
ROUNDS = 15
KBIT = 256
#: Bytes; in base64 some more. At this rate it takes 5 s and more.
LARGE = 8 << 20
LARGE_KBIT = 12_000
#: On top of what the way takes: a message at rest takes 5 ms, on a busy machine a hundred times as much.
BUSY = 1.0


class Link(NamedTuple):
    """What is done to the links of both workers, undone, and the seconds of a round trip from a worker to a broker."""

    name: str
    strike: Callable[[Network, Node], None]
    undo: Callable[[Network, Node], None]
    round_trip: float


def delayed(seconds: float) -> Link:
    one_way = seconds / 2
    return Link(
        f"{seconds * 1000:.0f} ms",
        lambda net, node: net.delay(node, one_way),
        lambda net, node: net.undelay(node),
        seconds,
    )


LINKS = [
    delayed(0.1),
    delayed(0.3),
    Link(f"{KBIT} kbit", lambda net, node: net.slow(node, KBIT), lambda net, node: net.unslow(node), 0.0),
]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.name)
async def test_with_every_setting_as_shipped_nothing_moves_and_nothing_is_lost(
    link: Link,
    placed: Stack,
    network: Network,
    placed_workers: Workers,
    client: MakeClient,
    session: aiohttp.ClientSession,
) -> None:
    async with Kafka(placed.brokers) as kafka:
        topic = await kafka.new_topic(PARTITIONS, copies=3, min_insync_replicas="2")
        pair = [
            placed_workers.launch(topic, zookeepers=placed.zookeepers, session_timeout="6s", commit_interval="3s")
            for _ in range(2)
        ]
        await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
        service = Service(placed, kafka, topic, PARTITIONS, pair)
        await eventually(service.shared, SOON)
        leaders = Leaders(session, pair)
        first = await leaders.settled(READY_TOGETHER)
        generations = [(await worker.status())["generation"] for worker in pair]
        one = client(pair[0], "one")
        await go_round(kafka, topic, one)

        nodes = [worker.node for worker in pair if worker.node is not None]
        for node in nodes:
            link.strike(network, node)
        try:
            during = [await go_round(kafka, topic, one) for _ in range(ROUNDS)]
            async with service.at_work(client, session), leaders.watched():
                written = await service.produce(EACH)
                await eventually(lambda: service.is_acked(written), SOON)
        finally:
            for node in nodes:
                link.undo(network, node)
        assert service.crew.slowest_pull < ANSWERED
        assert service.crew.slowest_ack < ANSWERED
        assert service.crew.came_again == []
        assert [(await worker.status())["generation"] for worker in pair] == generations, "a rebalance for nothing"
        last = await leaders.settled(SOON)
        assert (last.worker, last.epoch) == (first.worker, first.epoch), "the lead was lost for nothing"
        pulls, acks = (median(seconds) for seconds in zip(*during, strict=True))
        # From the client to the worker, on to another one, which may ask a broker first.
        assert pulls < 5 * link.round_trip + BUSY
        assert acks < 5 * link.round_trip + BUSY


async def test_a_large_message_comes_to_a_client_of_another_worker_down_a_thin_line(
    placed: Stack, network: Network, placed_workers: Workers, client: MakeClient
) -> None:
    """On its way it takes longer than an answer is on loan, and than a connection may be without a sign of life."""
    async with Kafka(placed.brokers) as kafka:
        topic = await kafka.new_topic(1, copies=3, max_message_bytes=str(2 * LARGE))
        owner, spare = (placed_workers.launch(topic, session_timeout="6s") for _ in range(2))
        await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in (owner, spare)))
        if not await owner.partitions():
            owner, spare = spare, owner
        await kafka.produce(topic, "first")
        elsewhere = client(spare, "elsewhere")
        (first,) = (await elsewhere.pull(wait_ms=20_000)).messages
        assert (await elsewhere.ack(first.lease)).acked == 1

        assert owner.node is not None
        network.slow(owner.node, LARGE_KBIT)
        try:
            began = monotonic()
            await kafka.produce(topic, "x" * LARGE)
            pulled = await elsewhere.pull(wait_ms=50_000, max_bytes=LARGE, ack_wait_ms=120_000)
            took = monotonic() - began
            assert [(len(message.value or ""), message.delivery_count) for message in pulled.messages] == [(LARGE, 1)]
            assert (await elsewhere.ack(pulled.messages[0].lease)).acked == 1
        finally:
            network.unslow(owner.node)
        # Twice down that line, from the broker and to the other worker.
        assert took > 2 * 8 * LARGE / 1000 / LARGE_KBIT, "the line was not thin"
        assert (await owner.workers())[(await spare.status())["worker"]], "they are connected"


async def go_round(kafka: Kafka, topic: str, client: Client) -> tuple[float, float]:
    """The seconds that the pull of a message takes that is there, and its durable ack."""
    await kafka.produce(topic, "v")
    began = monotonic()
    (message,) = (await client.pull(wait_ms=8000)).messages
    pulled = monotonic()
    assert (await client.ack(message.lease)).acked == 1
    return pulled - began, monotonic() - pulled
