"""What those who run a worker can do to it while it works: pause, resume, seek, send a client away, look at leases."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers

ID = "service"
DOCS = Path(__file__).parents[2] / "docs" / "api.md"


class Operator:
    """Asks a worker as a person with curl would."""

    def __init__(self, session: aiohttp.ClientSession, worker: Worker) -> None:
        self._session = session
        self.worker = worker

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        async with self._session.request(method, f"{self.worker.url}{path}", json=body or None) as response:
            return response.status, await response.json(content_type=None) if response.status != 204 else None

    async def done(self, method: str, path: str, **body: Any) -> Any:
        status, answer = await self.ask(method, path, **body)
        assert status in (200, 204), answer
        return answer


@pytest.fixture
def operator(fresh: Worker, session: aiohttp.ClientSession) -> Operator:
    return Operator(session, fresh)


# Pause and resume ----------------------------------------------------------------------------------------------------


async def test_while_paused_nothing_is_handed_out_and_settles_count(
    operator: Operator, fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, "held", "v1", "v2")
    one = client(fresh, "one")
    held = (await one.pull()).one

    assert await operator.done("POST", "/v1/pause") == {"paused": True}
    assert await operator.done("POST", "/v1/pause") == {"paused": True}
    answer = await one.pull(wait_ms=500)
    assert (answer.status, answer.empty) == (204, "paused")
    assert (await fresh.status())["paused"] is True
    assert (await one.ack(held.lease)).acked == 1

    waiting = asyncio.create_task(one.pull(wait_ms=10_000, max_messages=10))
    await eventually(lambda: fresh.has_waiting(1))
    began = monotonic()
    assert await operator.done("POST", "/v1/resume") == {"paused": False}
    assert [message.value for message in (await waiting).messages] == ["v1", "v2"]
    assert monotonic() - began < 1.0


async def test_a_pause_outlives_the_worker_that_was_told(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    worker = await workers.start(topic)
    await Operator(session, worker).done("POST", "/v1/pause")
    worker.kill9()
    await kafka.produce(topic, "v0")

    worker = await workers.start(topic)
    answer = await client(worker, "one").pull(wait_ms=1000)
    assert (answer.status, answer.empty) == (204, "paused")
    await Operator(session, worker).done("POST", "/v1/resume")
    assert (await client(worker, "one").pull(wait_ms=8000)).one.value == "v0"
    worker.kill9()

    worker = await workers.start(topic)
    assert (await worker.status())["paused"] is False


# Seek ----------------------------------------------------------------------------------------------------------------


async def test_a_seek_back_delivers_again_what_was_settled_and_makes_earlier_tokens_gone(
    operator: Operator, fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, *(f"v{number}" for number in range(5)))
    one = client(fresh, "one")
    taken = await one.take(5)
    await one.ack(*(message.lease for message in taken))
    await eventually(lambda: kafka.has_committed(ID, fresh.topic, {0: 5}))

    answer = await operator.done("POST", "/v1/seek", partition=0, to=2)

    assert answer == {"partitions": [{"partition": 0, "offset": 2}]}
    await eventually(lambda: kafka.has_committed(ID, fresh.topic, {0: 2}))
    again = await one.take(3)
    assert [(message.offset, message.delivery_count) for message in again] == [(2, 1), (3, 1), (4, 1)]
    assert (await one.ack(taken[3].lease)).results == {taken[3].lease: "gone"}
    assert (await one.ack(*(message.lease for message in again))).results == {}
    assert (await fresh.partitions())[0]["era"] == 1
    await eventually(lambda: kafka.has_committed(ID, fresh.topic, {0: 5}))


async def test_a_seek_is_still_true_after_kill_9(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"v{number}" for number in range(5)))
    worker = await workers.start(topic)
    one = client(worker, "one")
    await one.ack(*(message.lease for message in await one.take(5)))
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 5}))
    await Operator(session, worker).done("POST", "/v1/seek", to="earliest")
    worker.kill9()

    worker = await workers.start(topic)
    again = await client(worker, "one").take(5)
    assert [message.value for message in again] == [f"v{number}" for number in range(5)]


async def test_one_seeks_to_ends_offsets_and_times_of_every_partition(
    operator: Operator, fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    for partition in range(3):
        await kafka.produce(fresh.topic, *(f"{partition}/{number}" for number in range(3)), partition=partition)
    ends = {0: 3, 1: 3, 2: 3}
    one = client(fresh, "one")

    async def sought(**to: Any) -> dict[int, int]:
        rows = (await operator.done("POST", "/v1/seek", **to))["partitions"]
        return {row["partition"]: row["offset"] for row in rows}

    assert await sought(to="latest") == ends
    assert (await one.pull(wait_ms=500)).messages == []
    assert await sought(to="earliest") == {0: 0, 1: 0, 2: 0}
    assert await sought(to=2) == {0: 2, 1: 2, 2: 2}
    assert await sought(to=99) == ends
    assert await sought(to={"timestamp_unix_ms": 4_000_000_000_000}) == ends
    assert await sought(to={"timestamp_unix_ms": 0}, partition=1) == {1: 0}
    values = sorted(message.value or "" for message in await one.take(3))
    assert values == ["1/0", "1/1", "1/2"]
    assert (await one.pull(wait_ms=500)).messages == []


async def test_a_seek_past_live_leases_takes_force(
    operator: Operator, fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, "v0", "v1")
    one = client(fresh, "one")
    held = await one.take(2)

    status, problem = await operator.ask("POST", "/v1/seek", to="earliest")
    assert (status, problem["type"]) == (409, "urn:fanout:problem:leases-live")
    assert '"force":true' in problem["detail"]
    assert (await one.extend(held[0].lease, ack_wait_ms=30_000)).extended == 1, "the refused seek has changed something"

    await operator.done("POST", "/v1/seek", to="earliest", force=True)
    assert (await one.ack(held[0].lease)).results == {held[0].lease: "gone"}
    assert [message.delivery_count for message in await client(fresh, "other").take(2)] == [1, 1]


async def test_a_seek_of_a_partition_that_the_topic_does_not_have_is_400(operator: Operator) -> None:
    status, problem = await operator.ask("POST", "/v1/seek", to="earliest", partition=7)
    assert (status, problem["type"]) == (400, "urn:fanout:problem:invalid-field")
    assert [fault["field"] for fault in problem["errors"]] == ["partition"]


# Clients and leases --------------------------------------------------------------------------------------------------


async def test_a_client_that_is_sent_away_gives_its_messages_to_who_waits(
    operator: Operator, fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, "v0", "v1")
    stuck = client(fresh, "stuck/é")
    await stuck.take(2)
    also = asyncio.create_task(stuck.pull(wait_ms=20_000))
    await eventually(lambda: fresh.has_waiting(1))
    waiting = asyncio.create_task(client(fresh, "other").pull(wait_ms=20_000, max_messages=10))
    await eventually(lambda: fresh.has_waiting(2))
    began = monotonic()

    await operator.done("DELETE", "/v1/clients/stuck%2F%C3%A9")

    assert [(message.value, message.delivery_count) for message in (await waiting).messages] == [("v0", 1), ("v1", 1)]
    assert (await also).status == 204
    assert monotonic() - began < 1.0
    clients = (await operator.done("GET", "/v1/clients"))["clients"]
    assert [row["client"] for row in clients] == ["other"]
    assert (await operator.ask("DELETE", "/v1/clients/stuck%2F%C3%A9"))[0] == 404


async def test_live_leases_are_listed_oldest_first_and_can_be_settled_by_hand(
    operator: Operator, fresh: Worker, kafka: Kafka, client: MakeClient
) -> None:
    await kafka.produce(fresh.topic, "v0", "v1")
    old = (await client(fresh, "old").pull(ack_wait_ms=60_000)).one
    began = monotonic()
    new = (await client(fresh, "new").pull()).one

    leases = (await operator.done("GET", "/v1/leases"))["leases"]
    assert [(row["lease"], row["client"], row["offset"]) for row in leases] == [
        (old.lease, "old", old.offset),
        (new.lease, "new", new.offset),
    ]
    assert 55_000 < leases[0]["time_left_ms"] <= 60_000
    assert leases[0]["age_ms"] >= leases[1]["age_ms"] >= 0

    await eventually(lambda: monotonic() - began > 0.3)
    assert (await operator.done("GET", "/v1/leases?min_age_ms=300&limit=1"))["leases"][0]["lease"] == old.lease
    assert (await operator.done("GET", "/v1/leases?min_age_ms=60000"))["leases"] == []

    await operator.done("DELETE", f"/v1/leases/{old.lease}")
    assert [row["lease"] for row in (await operator.done("GET", "/v1/leases"))["leases"]] == [new.lease]


# What it tells -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "inner"), [("status", None), ("partitions", "partitions")])
async def test_status_and_partitions_have_the_fields_of_the_page(
    path: str, inner: str | None, operator: Operator
) -> None:
    shown = re.search(rf'`/v1/{path}`: `\{{("[^`]*)\}}`', DOCS.read_text())
    assert shown
    names = re.findall(r'"(\w+)"', shown[1])
    answer = await operator.done("GET", f"/v1/{path}")
    found = [name for row in answer[inner] for name in row] if inner else list(answer)
    assert found
    assert set(found) | ({inner} if inner else set()) == set(names)
