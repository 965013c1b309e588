"""Clients at another worker than the owner of their messages: real processes, one of which ends at the wrong moment."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from support.clients import Client
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack
from support.workers import READY_TOGETHER, Worker, Workers

#: Where the forwarding worker is when it ends (its client waits, its answer has come, it is written), and how it ends:
#: one that is stopped keeps its connections.
ENDS = [f"{step}:{end}" for step in ("waits", "handed", "confirm") for end in ("SIGKILL", "SIGSTOP")]
#: The message is with another client within 3 s; one more for a machine with several tests on it.
ELSEWHERE_IN = 4.0


@dataclass
class Cluster:
    """An owner of all partitions, a spare, and a spare for each way of ending."""

    topic: str
    owner: Worker
    spare: Worker
    ending: dict[str, Worker]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(
    stack: Stack, kafka: Kafka, session: aiohttp.ClientSession, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cluster]:
    # Long, so that one that is killed in one test does not move partitions in the next.
    options: dict[str, Any] = {"session_timeout": "60s", "drain": "0s"}
    workers = Workers(stack.brokers, tmp_path_factory.mktemp("elsewhere"), session)
    try:
        topic = await kafka.new_topic(1)
        owner = await workers.start(topic, **options)
        spare = workers.launch(topic, **options)
        faults = {how: [] if how.startswith("waits") else [f"relay-ends={how}"] for how in ENDS}
        ending = {how: workers.launch(topic, faults=faults[how], **options) for how in ENDS}
        spares = [spare, *ending.values()]
        await asyncio.gather(*(one.ready(READY_TOGETHER) for one in spares))
        for one in (owner, *spares):
            await eventually(lambda one=one: _knows(one, len(spares)), READY_TOGETHER)  # type: ignore[misc]
        # The last rebalance may still be under way.
        await eventually(owner.partitions, READY_TOGETHER)
        yield Cluster(topic, owner, spare, ending)
    finally:
        workers.close()


async def _knows(worker: Worker, others: int) -> bool:
    return len((await worker.status())["workers"]) == others + 1


_names = itertools.count()


@pytest.fixture
def make(session: aiohttp.ClientSession) -> Any:
    """A client that no other test knows."""
    return lambda worker: Client(session, worker, f"client-{next(_names)}")


async def test_a_client_at_a_spare_gets_and_settles_what_others_own(cluster: Cluster, kafka: Kafka, make: Any) -> None:
    one = make(cluster.spare)
    pulling = asyncio.create_task(one.pull(max_messages=2))
    await eventually(lambda: cluster.owner.has_waiting(1))
    await kafka.produce(cluster.topic, "first", partition=0)
    first = (await pulling).one
    assert first.value == "first"
    assert (await one.ack(first.lease)).acked == 1

    await kafka.produce(cluster.topic, "a", "b", "c", partition=0)
    nacked, extended, acked = await one.take(3)
    other = make(cluster.spare)
    again = asyncio.create_task(other.pull())
    assert (await one.nack(nacked.lease)).nacked == 1
    retried = (await again).one
    assert (retried.value, retried.delivery_count) == (nacked.value, 2)
    assert (await one.extend(extended.lease, ack_wait_ms=60_000)).extended == 1
    assert (await one.ack(acked.lease, extended.lease)).acked == 2
    assert (await other.ack(retried.lease)).acked == 1
    assert (await one.ack(acked.lease)).results == {acked.lease: "already_settled"}


@pytest.mark.parametrize("how", ENDS)
async def test_a_forwarding_worker_that_ends_costs_a_moment(
    cluster: Cluster, kafka: Kafka, make: Any, how: str
) -> None:
    worker = cluster.ending[how]
    unlucky = asyncio.create_task(make(worker).pull())
    await eventually(lambda: cluster.owner.has_waiting(1))
    lucky = asyncio.create_task(make(cluster.owner).pull())
    await eventually(lambda: cluster.owner.has_waiting(2))
    if how.startswith("waits"):
        worker.signal(signal.Signals[how.partition(":")[2]])
    began = monotonic()
    await kafka.produce(cluster.topic, how, partition=0)

    message = (await lucky).one

    took = monotonic() - began
    assert message.value == how
    assert message.delivery_count == 1
    assert took < ELSEWHERE_IN
    assert (await make(cluster.owner).ack(message.lease)).acked == 1
    unlucky.cancel()
    await asyncio.gather(unlucky, return_exceptions=True)
    worker.close()


async def test_operators_see_the_whole_cluster_at_any_worker(
    cluster: Cluster, kafka: Kafka, make: Any, session: aiohttp.ClientSession
) -> None:
    await kafka.produce(cluster.topic, "seen", partition=0)
    holder = make(cluster.spare)
    lease = (await holder.pull()).one.lease

    async def ask(path: str, method: str = "GET") -> Any:
        async with session.request(method, f"{cluster.spare.url}{path}") as response:
            return await response.json() if response.content_length else response.status

    (row,) = (await ask("/v1/partitions"))["partitions"]
    assert row["owner"] == (await cluster.owner.status())["worker"]
    assert row["in_flight"] == (await ask("/v1/status"))["in_flight"] == 1
    (listed,) = (await ask("/v1/leases"))["leases"]
    assert (listed["lease"], listed["client"]) == (lease, holder.name)
    assert (await ask(f"/v1/leases/{lease}"))["state"] == "live"
    mine = [one for one in (await ask("/v1/clients"))["clients"] if one["client"] == holder.name]
    assert [(one["in_flight"], one["waiting"], one["delivered"]) for one in mine] == [(1, 0, 1)]
    assert await ask(f"/v1/clients/{holder.name}", "DELETE") == 204
    other = (await make(cluster.owner).pull()).one
    assert (other.value, other.delivery_count) == ("seen", 1)
    async with session.post(f"{cluster.spare.url}/v1/seek", json={"to": "latest"}) as response:
        assert response.status == 409
    async with session.post(f"{cluster.spare.url}/v1/seek", json={"to": 0, "force": True}) as response:
        assert (await response.json())["partitions"] == [{"partition": 0, "offset": 0}]


async def test_nobody_is_let_in_who_is_no_worker(cluster: Cluster, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{cluster.owner.url}/internal/link?from=x&to=y&time=1&once=2") as response:
        assert response.status == 403
        assert response.content_type == "application/problem+json"
