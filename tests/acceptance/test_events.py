"""The stream of events of real workers: one of them tells of all, and ends with its worker."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import READY_TOGETHER, Workers


async def event(got: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next one."""
    async with asyncio.timeout(20):
        raw = await got.content.readuntil(b"\n\n")
    state: dict[str, Any] = json.loads(raw.partition(b"data: ")[2])
    return state


async def test_any_worker_tells_of_all_and_its_end_does_not_wait_for_who_looks(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(4)
    for partition in range(4):
        await kafka.produce(topic, *map(str, range(10)), partition=partition)
    one, other = workers.launch(topic, max_streams="1"), workers.launch(topic)
    await asyncio.gather(one.ready(READY_TOGETHER), other.ready(READY_TOGETHER))
    endless = aiohttp.ClientTimeout(total=None)
    async with session.get(f"{one.url}/v1/events", timeout=endless) as got:

        async def both() -> bool:
            state = await event(got)
            return len({row["owner"] for row in state["partitions"]}) == len(state["counted"]) == 2

        await eventually(both, every=0)
        async with session.get(f"{one.url}/v1/events") as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
            assert "1 look on at this worker already" in (await refused.json(content_type=None))["detail"]
        taken = await client(one, "a").take(40)
        await client(one, "a").ack(*[message.lease for message in taken])

        async def told() -> bool:
            state = await event(got)
            acked = sum(part["acked"] for part in state["counted"].values())
            return acked == 40 and state["status"]["lag"] == 0 and state["ack_p50_ms"] is not None

        await eventually(told, every=0)
        assert (await other.terminate()).code == 0

        async def alone() -> bool:
            state = await event(got)
            return [row["worker"] for row in state["workers"]] == [state["status"]["worker"]]

        await eventually(alone, every=0)
        ended = await one.terminate()
        await got.content.read()
    # The drain is 3 s; nothing was waited for on top of it but the end itself.
    assert (ended.code, ended.seconds < 10) == (0, True)
