"""Workers that reach ZooKeeper by TLS, with a certificate of their own: one leads, and goes on to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.certificates import Authority
from support.eventually import eventually
from support.failed_start import CANNOT_START, START_AGAIN, last_line
from support.kafka import Kafka
from support.leaders import Leaders
from support.tls_zookeeper import listens, tls_zookeeper
from support.workers import READY_TOGETHER, Workers

#: A lease of a leader is 2 s: for so many of them it is looked on.
LEASES = 8


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
async def zookeeper(ca: Authority, tmp_path: Path) -> AsyncIterator[str]:
    """Its address; it asks for a certificate."""
    with tls_zookeeper(ca, tmp_path, asks=True) as address:
        await eventually(lambda: listens(address), 40.0)
        yield address


async def test_one_leads_for_as_long_as_it_is_there_and_then_another_one(
    ca: Authority, zookeeper: str, kafka: Kafka, workers: Workers, session: aiohttp.ClientSession
) -> None:
    one = ca.issue("worker")
    how: dict[str, Any] = {
        "zookeepers": zookeeper,
        "zookeeper_ca": ca.file,
        "zookeeper_cert": one.cert,
        "zookeeper_key": one.key,
    }
    topic = await kafka.new_topic(3)
    pair = [workers.launch(topic, **how) for _ in range(2)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
    leaders = Leaders(session, pair)
    led = await leaders.settled(READY_TOGETHER)
    async with leaders.watched():
        watched_until = led.answered + 2.0 * LEASES
        await eventually(lambda: any(said.asked > watched_until for said in leaders.said), 4.0 * LEASES)
    assert {said.epoch for said in leaders.said if said.asked > led.answered} == {led.epoch}
    assert all(said.acting for said in leaders.said if said.by is led.by and said.asked > led.answered)
    for worker in pair:
        assert "Traceback" not in worker.text()
        assert (await worker.status())["degraded"] == []
    led.by.kill9()
    other = await leaders.settled(READY_TOGETHER, led.by, after=led)
    assert other.by is not led.by


@pytest.mark.parametrize(
    ("case", "why", "code"),
    [
        ("another CA", "do not agree on TLS (unable to get local issuer certificate)", CANNOT_START),
        # Hung up on without a word, as by a server that is just being stopped.
        ("no TLS", "no ZooKeeper answers at", START_AGAIN),
    ],
)
async def test_who_does_not_agree_with_it_is_told_why_in_one_line(
    case: str, why: str, code: int, ca: Authority, zookeeper: str, kafka: Kafka, workers: Workers, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"zookeeper_ca": Authority(tmp_path / "other").file} if case == "another CA" else {}
    worker = workers.launch(await kafka.new_topic(1), zookeepers=zookeeper, **how)
    assert why in await last_line(worker, code=code)
