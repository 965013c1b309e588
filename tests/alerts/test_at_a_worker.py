"""The same at a real process, which is scraped as Prometheus does it; its topic is in memory."""

from __future__ import annotations

import asyncio
import resource
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from support.canary import Shares
from support.clients import MakeClient
from support.eventually import eventually
from support.promtool import Timeline
from support.scraped import series
from support.workers import Worker, Workers

TOKEN = "prometheus-token-of-at-least-32-characters"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
WELL = 70


@pytest.fixture
async def worker(workers_without_kafka: Workers) -> Worker:
    return await workers_without_kafka.start("memory", memory=True, memory_partitions="3")


async def scrape(session: aiohttp.ClientSession, worker: Worker, **headers: str) -> bytes | None:
    """What it says; None: it does not answer."""
    try:
        async with session.get(f"{worker.url}/metrics", headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.read()
    except aiohttp.ClientConnectionError:
        return None


async def leads(session: aiohttp.ClientSession, worker: Worker, **headers: str) -> bytes:
    """What it says once it leads, as it does a lease after its start."""
    said = b""

    async def leading() -> bool:
        nonlocal said
        said = await scrape(session, worker, **headers) or b""
        return series(said)["fanout_leading"] == 1

    await eventually(leading, 10.0)
    return said


async def produce(session: aiohttp.ClientSession, worker: Worker, count: int) -> None:
    messages = [{"value": str(number)} for number in range(count)]
    async with session.post(f"{worker.url}/v1/produce", json={"messages": messages}) as response:
        assert response.status == 200, await response.text()


async def test_work_that_goes_well_wakes_nobody(
    worker: Worker, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    timeline = Timeline()
    timeline.goes_on(WELL, a=await leads(session, worker))
    one = client(worker, "one")
    for _ in range(15):
        await produce(session, worker, 20)
        await one.ack(*[delivery.lease for delivery in await one.take(20)])
        timeline.goes_on(2, a=await scrape(session, worker))
    timeline.fires(tmp_path)


async def test_a_group_that_its_guard_takes_out(
    worker: Worker, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    timeline = Timeline()
    timeline.goes_on(WELL, a=await leads(session, worker))
    guard = {"min_samples": 1, "max_failure_ratio": 0.0, "window_ms": 60_000}
    shares = Shares(session)

    async def set_shares() -> bool:
        """It leads a moment before it has read what holds."""
        return (await shares.put(worker, {"stable": 1, "canary": 99}, guard=guard)).status == 200

    await eventually(set_shares, 10.0)
    await produce(session, worker, 40)
    for delivery in (await client(worker, "new").pull(max_messages=5, group="canary")).messages:
        await client(worker, "new").nack(delivery.lease)
    decided = 'fanout_canary_decisions_total{decision="rolled back"}'

    async def rolled_back() -> bool:
        return series(await scrape(session, worker) or b"")[decided] == 1

    await eventually(rolled_back, 10.0)
    timeline.goes_on(2, a=await scrape(session, worker))
    timeline.fires(tmp_path, "FanoutRolledBack")


async def test_requests_without_a_token(
    workers_without_kafka: Workers, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{sha256(TOKEN.encode()).hexdigest()} metrics\n")
    worker = await workers_without_kafka.start("memory", memory=True, tokens_file=str(tokens))
    timeline = Timeline()
    timeline.goes_on(WELL, a=await leads(session, worker, **ALLOWED))
    for number in range(22):
        async with session.post(f"{worker.url}/v1/pull", json={}, headers=ALLOWED if number % 2 else {}) as response:
            assert response.status == (403 if number % 2 else 401)
    timeline.goes_on(2, a=await scrape(session, worker, **ALLOWED))
    timeline.fires(tmp_path, "FanoutRefused")


async def test_a_worker_that_is_killed(worker: Worker, session: aiohttp.ClientSession, tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.goes_on(WELL, a=await leads(session, worker))
    worker.kill9()
    timeline.goes_on(3, a=await scrape(session, worker))
    timeline.fires(tmp_path, "FanoutWorkerDown")


async def test_connections_take_nearly_all_files_that_the_system_allows(
    worker: Worker, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    timeline = Timeline()
    well = await leads(session, worker)
    timeline.goes_on(WELL, a=well)
    most = int(series(well)["process_open_fds"]) + 60
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (most, most))
    host, _, port = worker.start.address.rpartition(":")
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(57)]
    full = b""

    async def nearly_full() -> bool:
        nonlocal full
        full = await scrape(session, worker) or b""
        return series(full)["process_open_fds"] >= most - 3

    await eventually(nearly_full, 10.0)
    timeline.goes_on(7, a=full)
    timeline.fires(tmp_path, "FanoutFilesRunOut")
    for _, writer in opened:
        writer.close()
    await eventually(lambda: has_room(session, worker, most), 10.0)
    timeline.goes_on(2, a=await scrape(session, worker))
    timeline.fires(tmp_path)


async def has_room(session: aiohttp.ClientSession, worker: Worker, most: int) -> bool:
    return series(await scrape(session, worker) or b"")["process_open_fds"] < most / 2
