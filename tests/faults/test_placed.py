"""Servers and workers at nodes of the network, which are found there, by each other as well, and can be struck."""

from __future__ import annotations

import asyncio

from support.eventually import eventually
from support.kafka import Kafka
from support.network.network import Network
from support.stack import Stack
from support.workers import READY_TOGETHER, Workers

#: A session of 3 s, and the rebalance behind it, on a busy machine.
MISSED = 40.0


async def test_workers_find_servers_and_each_other_and_miss_who_is_cut_off(
    placed: Stack, network: Network, placed_workers: Workers
) -> None:
    async with Kafka(placed.brokers) as kafka:
        topic = await kafka.new_topic(4, copies=3)
        one, two = (placed_workers.launch(topic, zookeepers=placed.zookeepers) for _ in range(2))
        await asyncio.gather(one.ready(READY_TOGETHER), two.ready(READY_TOGETHER))
        assert [worker.node for worker in (one, two)] == [network.nodes["worker-1"], network.nodes["worker-2"]]

        async def shared() -> bool:
            return [len(row["partitions"]) for row in (await one.workers()).values()] == [2, 2]

        async def alone() -> bool:
            return len(await one.partitions()) == 4

        await eventually(shared, MISSED)
        assert {row["address"] for row in (await two.workers()).values()} == {one.url, two.url}
        brokers = [network.nodes[f"kafka-{number}"] for number in (1, 2, 3)]
        network.cut(network.nodes["worker-2"], brokers)
        await eventually(alone, MISSED)
        network.heal(network.nodes["worker-2"], brokers)
        await eventually(shared, MISSED)


async def test_a_broker_with_a_full_disk_ends_and_comes_back_when_there_is_room(placed: Stack) -> None:
    async with Kafka(placed.brokers) as kafka:
        topic = await kafka.new_topic(1, copies=3, min_insync_replicas="2")

        async def has_ended() -> bool:
            await kafka.produce(topic, "x" * 100_000)
            return placed.state(placed.small_disk) == "down"

        placed.fill_disk(placed.small_disk)
        try:
            await eventually(has_ended, MISSED)
        finally:
            placed.free_disk(placed.small_disk)
            placed.start(placed.small_disk)
        assert placed.state(placed.small_disk) == "up"
