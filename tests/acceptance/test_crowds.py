"""As many clients as may wait, one more, and all of them gone at once."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.clients import Hangup, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers

#: The default of ``--max-waiting``.
MOST = 10_000
AT_A_TIME = 250
VANISHING = 200
#: Connections of the tests themselves, and what a worker does now and then besides.
FEW = 8


@asynccontextmanager
async def crowd(worker: Worker, count: int) -> AsyncIterator[list[Hangup]]:
    """So many clients whose pulls wait."""
    clients: list[Hangup] = []
    try:
        while len(clients) < count:
            names = range(len(clients), min(count, len(clients) + AT_A_TIME))
            clients += await asyncio.gather(*(Hangup.pulling(worker, f"one of many {name}") for name in names))
        await eventually(lambda: worker.has_waiting(count), 60.0)
        yield clients
    finally:
        for one in clients:
            with suppress(OSError):  # hung up on
                one.reset()


async def first_answer(clients: list[Hangup]) -> tuple[int, bytes]:
    """What the one of them is answered that is answered first."""
    reading = [asyncio.create_task(one.answer()) for one in clients]
    done, _ = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    return done.pop().result()


async def metrics(worker: Worker, session: aiohttp.ClientSession) -> dict[str, float]:
    async with session.get(f"{worker.url}/metrics") as response:
        text = await response.text()
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples}


@pytest.mark.long
async def test_one_pull_more_than_may_wait_is_429_and_a_place_that_is_left_is_free_at_once(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    worker = await workers.start(topic)
    async with crowd(worker, MOST) as waiting:
        for path in ("/v1/pull", "/v1/next"):
            async with session.post(f"{worker.url}{path}") as response:
                problem = await response.json(content_type=None)
                assert (response.status, problem["type"]) == (429, "urn:fanout:problem:too-many-waiting")
                assert int(response.headers["Retry-After"]) >= 1
        status = await worker.status()
        assert (status["waiting_pulls"], status["degraded"]) == (MOST, [])

        waiting.pop().reset()
        await eventually(lambda: worker.has_waiting(MOST - 1), 2.0)
        late = asyncio.create_task(client(worker, "late").pull(wait_ms=50_000))
        await eventually(lambda: worker.has_waiting(MOST), 5.0)

        # One of those that came first has its turn, and the last one of all too.
        began = monotonic()
        await kafka.produce(topic, "for the first")
        code, body = await first_answer(waiting[:AT_A_TIME])
        assert code == 200
        assert b'"offset":0' in body
        assert monotonic() - began < 2.0
        for one in waiting:
            one.reset()
        waiting.clear()
        await eventually(lambda: worker.has_waiting(1), 10.0)
        await kafka.produce(topic, "for the late one")
        assert (await late).one.value == "for the late one"


async def test_clients_that_vanish_at_once_leave_nothing_behind(
    fresh: Worker, kafka: Kafka, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    before = await metrics(fresh, session)
    async with crowd(fresh, VANISHING):
        meanwhile = await metrics(fresh, session)
        for name in ("fanout_waiting_pulls", "fanout_tasks", "process_open_fds"):
            assert meanwhile[name] >= before[name] + VANISHING, name

    async def nothing_is_left() -> bool:
        after = await metrics(fresh, session)
        return (
            after["fanout_waiting_pulls"] == 0
            and after["fanout_tasks"] <= before["fanout_tasks"] + FEW
            and after["process_open_fds"] <= before["process_open_fds"] + FEW
        )

    await eventually(nothing_is_left, 5.0)
    await kafka.produce(fresh.topic, "for who is left")
    assert (await client(fresh, "left").pull(wait_ms=5000)).one.delivery_count == 1


async def test_where_few_files_may_be_open_fewer_pulls_wait_and_messages_still_come(
    kafka: Kafka, workers: Workers, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(1)
    worker = workers.launch(topic)
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (250, 500))  # long before it serves
    await worker.ready()
    assert "300 pulls may wait, not 10000: this process may open 500 files" in worker.text()
    async with crowd(worker, 300) as waiting:
        async with session.post(f"{worker.url}/v1/pull") as response:
            assert response.status == 429
        await kafka.produce(topic, "v0")
        assert (await first_answer(waiting))[0] == 200
        assert (await client(worker, "late").pull(wait_ms=0)).status == 204
