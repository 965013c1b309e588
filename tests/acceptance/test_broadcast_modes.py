"""``--delivery broadcast`` beside other ways to run workers: redirects, another delivery before and after, full."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp

from fanout_app.core.group_row import SLOTS
from support.clients import Client, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.leaders import Leaders
from support.stack import Stack
from support.workers import READY_TOGETHER, Workers


async def _joined(client: Client) -> None:
    async def answered() -> bool:
        return (await client.pull(wait_ms=0)).status == 204

    await eventually(answered)


async def _drained(client: Client, count: int) -> list[str]:
    """Values of as many messages, all acked."""
    got: list[str] = []
    while len(got) < count:
        pulled = await client.pull(max_messages=10, wait_ms=10_000)
        got += [value or "" for value in pulled.values]
        await client.ack(*pulled.leases)
    return got


async def test_an_id_that_is_run_with_broadcast_for_a_while_goes_on_where_it_stands(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *map(str, range(10)))

    worker = await workers.start(topic, drain="0s")
    await client(worker, "x").ack(*[message.lease for message in await client(worker, "x").take(4)])
    assert (await worker.terminate()).code == 0

    worker = await workers.start(topic, drain="0s", delivery="broadcast")
    taken = await client(worker, "x").take(6)
    assert [message.value for message in taken] == [*"456789"]
    await client(worker, "x").ack(*[message.lease for message in taken[:3]])
    assert (await worker.terminate()).code == 0

    worker = await workers.start(topic, drain="0s")
    assert await _drained(client(worker, "y"), 3) == [*"789"]
    assert (await worker.terminate()).code == 0

    worker = await workers.start(topic, drain="0s", delivery="broadcast")
    await kafka.produce(topic, "new")
    assert await _drained(client(worker, "x"), 1) == ["new"]


async def test_pulls_that_are_redirected_bring_each_group_everything(
    stack: Stack, kafka: Kafka, workers: Workers, session: aiohttp.ClientSession, client: MakeClient
) -> None:
    topic = await kafka.new_topic(4)
    for _ in range(2):
        workers.launch(topic, drain="0s", routing="redirect", delivery="broadcast", zookeepers=stack.zookeepers)
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in workers.all))
    await Leaders(session, workers.all).settled(READY_TOGETHER)
    groups = [client(worker, name) for worker, name in zip(workers.all, "xy", strict=True)]
    await asyncio.gather(*map(_joined, groups))
    for partition in range(4):
        await kafka.produce(topic, *(f"{partition}/{number}" for number in range(20)), partition=partition)
    everything = Counter(f"{partition}/{number}" for partition in range(4) for number in range(20))
    for got in await asyncio.gather(*(_drained(group, 80) for group in groups)):
        assert Counter(got) == everything


async def test_who_comes_as_one_group_too_many_is_told_to_wait(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    worker = await workers.start(await kafka.new_topic(1), delivery="broadcast", client_ttl="60s")
    await asyncio.gather(*(_joined(client(worker, f"c{number}")) for number in range(SLOTS)))
    async with session.post(f"{worker.url}/v1/pull", json={"client": "late", "wait_ms": 0}) as response:
        assert (response.status, response.content_type) == (429, "application/problem+json")
        assert int(response.headers["Retry-After"]) >= 1
        assert "100 groups are there already" in (await response.json())["detail"]
    assert (await client(worker, "late").pull(group="c7", wait_ms=0)).status == 204, "as one of a group that is there"
