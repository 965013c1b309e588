"""A worker with a topic in memory: it is asked and answers as with Kafka, and nothing of Kafka is needed."""

from __future__ import annotations

import subprocess
from typing import Any

import aiohttp
import pytest
from aiokafka.partitioner import DefaultPartitioner

from support.clients import MakeClient
from support.eventually import eventually
from support.workers import BIN, Worker, Workers


@pytest.fixture
async def memory(workers_without_kafka: Workers) -> Worker:
    return await workers_without_kafka.start("memory", memory=True)


class Produce:
    """Puts messages into the topic."""

    def __init__(self, session: aiohttp.ClientSession, worker: Worker) -> None:
        self._session = session
        self._url = f"{worker.url}/v1/produce"

    async def __call__(self, *messages: dict[str, Any]) -> list[tuple[int, int]]:
        """Where they are."""
        status, answer = await self.answered({"messages": list(messages)})
        assert status == 200, answer
        return [(row["partition"], row["offset"]) for row in answer["messages"]]

    async def answered(self, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        async with self._session.post(self._url, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)


@pytest.fixture
def produce(session: aiohttp.ClientSession, memory: Worker) -> Produce:
    return Produce(session, memory)


async def test_messages_are_handed_out_settled_and_delivered_again(
    memory: Worker, produce: Produce, client: MakeClient
) -> None:
    one = client(memory, "one")
    assert await produce({"value": "a"}, {"value": "b"}) == [(0, 0), (0, 1)]
    first, second = await one.take(2)
    assert (first.value, second.value) == ("a", "b")
    assert (await one.ack(first.lease)).acked == 1
    assert (await one.nack(second.lease, delay_ms=0)).nacked == 1
    again = (await one.pull(wait_ms=8000)).one
    assert (again.value, again.delivery_count) == ("b", 2)
    assert (await one.ack(again.lease)).acked == 1
    status = await memory.status()
    assert (status["lag"], status["in_flight"], status["degraded"]) == (0, 0, [])


async def test_all_of_a_message_is_as_it_was_given(
    memory: Worker, produce: Produce, session: aiohttp.ClientSession
) -> None:
    await produce({"value": "AP8=", "key": "aw==", "headers": [["a", "MQ=="], ["a", None]], "encoding": "base64",
                   "timestamp_unix_ms": 5})  # fmt: skip
    async with session.post(f"{memory.url}/v1/pull", json={}) as response:
        (message,) = (await response.json())["messages"]
    assert (message["value"], message["key"], message["timestamp_unix_ms"]) == ("AP8=", "aw==", 5)
    assert message["headers"] == [["a", "MQ=="], ["a", None]]


async def test_keys_choose_partitions_as_kafkas_clients_do(
    workers_without_kafka: Workers, session: aiohttp.ClientSession
) -> None:
    worker = await workers_without_kafka.start("memory", memory=True, memory_partitions="3")
    keys = [f"key {number}" for number in range(20)]
    places = await Produce(session, worker)(*({"key": key} for key in keys))
    numbers = [0, 1, 2]
    assert [partition for partition, _ in places] == [
        DefaultPartitioner()(key.encode(), numbers, numbers) for key in keys
    ]
    assert {partition for partition, _ in await Produce(session, worker)({}, {}, {})} == {0, 1, 2}


async def test_what_is_rejected_is_parked_and_comes_back(
    memory: Worker, produce: Produce, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    one = client(memory, "one")
    await produce({"value": "bad"})
    (message,) = await one.take(1)
    assert (await one.settle(reject=[{"lease": message.lease, "reason": "look at it"}])).rejected == 1
    async with session.get(f"{memory.url}/v1/parked?encoding=utf8") as response:
        (parked,) = (await response.json())["messages"]
    assert (parked["value"], parked["reason"]) == ("bad", "look at it")
    async with session.post(f"{memory.url}/v1/parked/redrive", json={"parked": [parked["parked"], 99]}) as response:
        assert await response.json() == {"redriven": 1, "not_found": [99]}
    assert (await one.pull(wait_ms=8000)).one.value == "bad"


async def test_shares_pauses_and_seeks_work_here_too(
    memory: Worker, produce: Produce, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    await eventually(lambda: _shared(session, memory, stable=0, canary=100))
    await produce(*({"value": str(number)} for number in range(4)))
    stable, canary = client(memory, "s"), client(memory, "c")
    taken = await canary.take(4, group="canary")
    assert (await stable.pull(wait_ms=0)).empty == "weight-zero"
    assert (await canary.ack(*(message.lease for message in taken))).acked == 4

    for path, body in (("pause", {}), ("seek", {"to": "earliest"})):
        async with session.post(f"{memory.url}/v1/{path}", json=body) as response:
            assert response.status == 200, await response.text()
    assert (await canary.pull(wait_ms=0, group="canary")).empty == "paused"
    async with session.post(f"{memory.url}/v1/resume") as response:
        assert response.status == 200
    assert [message.value for message in await canary.take(4, group="canary")] == ["0", "1", "2", "3"]


async def _shared(session: aiohttp.ClientSession, worker: Worker, **weights: int) -> bool:
    """Whether these are the shares now; a worker that has just begun to lead asks for another try."""
    url, any_version = f"{worker.url}/v1/canary", {"If-Match": "*"}
    async with session.put(url, json={"weights": weights}, headers=any_version) as response:
        assert response.status in (200, 503), await response.text()
        return response.status == 200


async def test_each_group_has_everything_where_that_is_asked_for(
    workers_without_kafka: Workers, session: aiohttp.ClientSession, client: MakeClient
) -> None:
    worker = await workers_without_kafka.start("memory", memory=True, delivery="broadcast")
    for group in "ab":
        assert not (await client(worker, group).pull(wait_ms=0, group=group)).messages
    await Produce(session, worker)({"value": "for all"})
    for group in "ab":
        assert (await client(worker, group).pull(wait_ms=8000, group=group)).one.value == "for all"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"valu": "a"}]}, "messages[0].valu"),
        ({"messages": [{}, {"partition": 1}]}, "messages[1].partition"),
        ({"messages": [{"value": "no base64", "encoding": "base64"}]}, "messages[0].value"),
    ],
)
async def test_what_cannot_be_produced_is_refused_as_a_whole(
    memory: Worker, produce: Produce, body: dict[str, Any], field: str
) -> None:
    status, answer = await produce.answered(body)
    assert (status, answer["errors"][0]["field"]) == (400, field)
    assert (await memory.status())["waiting_messages"] == 0


async def test_asked_to_end_it_ends(memory: Worker, client: MakeClient) -> None:
    assert (await memory.terminate()).code == 0
    assert "all of it is gone" in memory.text()


@pytest.mark.parametrize("option", ["--brokers=127.0.0.1:1", "--zookeepers=127.0.0.1:1"])
def test_servers_are_none_of_its_business(option: str) -> None:
    ended = subprocess.run(
        [BIN / "fanout", "--memory", option], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert "leave one of the two out" in ended.stderr
