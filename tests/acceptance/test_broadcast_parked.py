"""``--delivery broadcast``: what one group gives up on comes back to it alone, and stays parked once it is gone."""

from __future__ import annotations

from typing import Any

import aiohttp

from support.clients import Client, MakeClient, Pulled
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers


async def _parked(session: aiohttp.ClientSession, worker: Worker) -> list[dict[str, Any]]:
    async with session.get(f"{worker.url}/v1/parked") as response:
        messages: list[dict[str, Any]] = (await response.json())["messages"]
        return messages


async def _redrive_all(session: aiohttp.ClientSession, worker: Worker) -> dict[str, Any]:
    async with session.post(f"{worker.url}/v1/parked/redrive", json={"all": True}) as response:
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


async def _joined(client: Client) -> None:
    async def answered() -> bool:
        return (await client.pull(wait_ms=0)).status == 204

    await eventually(answered)


async def test_what_a_group_rejects_is_redriven_to_it_alone(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(2)
    worker = await workers.start(topic, delivery="broadcast", client_ttl="2s")
    x, y = client(worker, "x"), client(worker, "y")
    for one in (x, y):
        await _joined(one)
    await kafka.produce(topic, "bad", partition=1)
    bad, fine = (await x.pull()).one, (await y.pull()).one
    assert (await x.settle(reject=[{"lease": bad.lease}])).rejected == 1
    await y.ack(fine.lease)
    assert [message["group"] for message in await _parked(session, worker)] == ["x"]

    assert await _redrive_all(session, worker) == {"redriven": 1, "not_found": [], "no_group": []}
    again: Pulled = await x.pull()
    assert (again.one.value, again.one.partition, again.one.offset) == ("bad", 1, 1)
    await kafka.produce(topic, "next", partition=1)
    assert (await y.pull()).values == ["next"], "it has been through with the other one"

    assert (await x.settle(reject=[{"lease": again.one.lease}])).rejected == 1

    async def only_y_is_there() -> bool:
        await y.pull(wait_ms=100)
        async with session.get(f"{worker.url}/v1/partitions") as response:
            return all(set(row["groups"]) == {"y"} for row in (await response.json())["partitions"])

    await eventually(only_y_is_there)
    (name,) = [message["parked"] for message in await _parked(session, worker)]
    assert await _redrive_all(session, worker) == {"redriven": 0, "not_found": [], "no_group": [name]}
    assert [message["parked"] for message in await _parked(session, worker)] == [name]
