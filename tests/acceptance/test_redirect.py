"""Redirect mode with clients that follow redirects as HTTP says, and nothing of ours: curl and aiohttp."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
import pytest_asyncio

from support.eventually import eventually
from support.kafka import Kafka
from support.leaders import Leaders
from support.stack import Stack
from support.workers import READY_TOGETHER, ShowLogs, Worker, Workers

SERVERS = {"zookeeper": 1}
PARTITIONS = 6
#: Session and 3 s, and a busy machine's allowance.
LED_AGAIN = 15.0


@dataclass(frozen=True, slots=True)
class Redirecting:
    """Three workers in redirect mode."""

    topic: str
    workers: Workers
    leaders: Leaders


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def three(
    own_stack: Stack, kafkas: Kafka, session: aiohttp.ClientSession, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Redirecting]:
    workers = Workers(own_stack.brokers, tmp_path_factory.mktemp("redirect"), session)
    try:
        topic = await kafkas.new_topic(PARTITIONS)
        for _ in range(3):
            workers.launch(topic, drain="0s", routing="redirect", zookeepers=own_stack.zookeepers)
        await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in workers.all))
        leaders = Leaders(session, workers.all)
        await leaders.settled(READY_TOGETHER)
        yield Redirecting(topic, workers, leaders)
    finally:
        workers.close()


@pytest.fixture
def cluster(three: Redirecting, show_logs: ShowLogs) -> Redirecting:
    show_logs(three.workers)
    return three


async def curl(*arguments: str) -> tuple[int, int, str]:
    """Status, redirects that were followed, and the body."""
    wanted = "\n%{http_code} %{num_redirects}"
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--location", "--write-out", wanted, *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    body, _, figures = out.decode().rpartition("\n")
    status, redirects = figures.split()
    return int(status), int(redirects), body


async def test_curl_gets_messages_from_every_worker(cluster: Redirecting, kafkas: Kafka) -> None:
    leader = (await cluster.leaders.settled(READY_TOGETHER)).by
    for partition in range(PARTITIONS):
        await kafkas.produce(cluster.topic, *(f"{partition}-{number}" for number in range(5)), partition=partition)
    for worker in cluster.workers.all:
        pull = json.dumps({"client": "curl", "wait_ms": 20_000, "encoding": "utf8"})
        status, redirects, body = await curl("--data", pull, f"{worker.url}/v1/pull")
        assert status == 200, body
        answer = json.loads(body)
        assert answer["client"] == "curl", "the body went along"
        assert redirects <= 2
        assert redirects >= (worker is not leader)

        # Its lease may be settled anywhere.
        (lease,) = [message["lease"] for message in answer["messages"]]
        status, redirects, body = await curl("--data", json.dumps({"ack": [lease]}), f"{worker.url}/v1/settle")
        assert (status, redirects, json.loads(body)["acked"]) == (200, 0, 1)

        status, redirects, body = await curl("--request", "POST", f"{worker.url}/v1/next?client=curl&wait_ms=20000")
        assert status == 200
        assert body.count("-") == 1, "a record's bytes"
        assert redirects <= 2


@dataclass(slots=True)
class Followed:
    """What a client met that pulls at all workers for a while."""

    redirects: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    #: Connections that ended or were not to be had.
    broken: int = 0


async def pull_on_and_on(session: aiohttp.ClientSession, worker: Worker, name: str, met: Followed) -> None:
    body = {"client": name, "wait_ms": 300, "ack_wait_ms": 1000}
    while True:
        try:
            async with session.post(f"{worker.url}/v1/pull", json=body) as response:
                met.redirects.append(len(response.history))
                met.statuses.append(response.status)
                assert response.method == "POST"
                if response.status == 200:
                    assert (await response.json())["client"] == name
        except aiohttp.ClientConnectionError:
            met.broken += 1
            await asyncio.sleep(0.02)


async def test_there_is_no_loop_while_leadership_moves(
    cluster: Redirecting, kafkas: Kafka, session: aiohttp.ClientSession
) -> None:
    leader = (await cluster.leaders.settled(READY_TOGETHER)).by
    await kafkas.produce(cluster.topic, *(str(number) for number in range(50)))
    met = Followed()
    async with asyncio.TaskGroup() as group:
        clients = [
            group.create_task(pull_on_and_on(session, worker, f"client-{number}", met))
            for number, worker in enumerate(cluster.workers.all)
        ]
        await eventually(lambda: len(met.redirects) > 30, READY_TOGETHER)
        leader.kill9()
        await cluster.leaders.settled(LED_AGAIN, leader)
        after = len(met.redirects)
        await eventually(lambda: len(met.redirects) > after + 30, READY_TOGETHER)
        for client in clients:
            client.cancel()
    assert max(met.redirects) in (1, 2)
    assert set(met.statuses) <= {200, 204}
    assert met.broken, "the killed one was asked, and redirected to"


async def test_without_a_leader_each_serves_what_it_has(
    cluster: Redirecting, kafkas: Kafka, session: aiohttp.ClientSession, own_stack: Stack
) -> None:
    left = [worker for worker in cluster.workers.all if worker.runs]
    own_stack.pause("zookeeper-1")
    try:

        async def nobody_leads() -> bool:
            answers = [await cluster.leaders.ask(worker) for worker in left]
            return all(said.worker is None for said in answers)

        await eventually(nobody_leads, LED_AGAIN)
        for worker in left:
            await kafkas.produce(cluster.topic, "one more")
            async with session.post(f"{worker.url}/v1/next?client=anyone&wait_ms=20000") as response:
                assert response.status == 200
                assert response.history == ()
    finally:
        own_stack.resume("zookeeper-1")
