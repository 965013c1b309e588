"""Real workers at the loopback, as a page asks them whose name leads there (DNS rebinding), and as others do."""

from __future__ import annotations

import aiohttp
import pytest

from support.workers import Worker, Workers

ADVERTISED = "worker-1.example"


async def answered(session: aiohttp.ClientSession, worker: Worker, host: str) -> int:
    headers = {"Host": host, "Origin": f"http://{host}"}
    async with session.post(f"{worker.url}/v1/pull", json={"wait_ms": 0}, headers=headers) as got:
        if got.status == 403:
            assert "not by another name" in (await got.json(content_type=None))["detail"]
        return got.status


async def test_without_tokens_a_worker_has_its_own_names_alone(fresh: Worker, session: aiohttp.ClientSession) -> None:
    assert await answered(session, fresh, "evil.example") == 403
    assert await answered(session, fresh, "localhost") == 204
    assert await answered(session, fresh, fresh.start.address) == 204


@pytest.mark.parametrize("how", [{"insecure": True}, {"advertise": f"{ADVERTISED}:80"}, {}], ids=str)
async def test_a_name_that_it_is_given_is_its_own(
    how: dict[str, str | bool], workers_without_kafka: Workers, session: aiohttp.ClientSession
) -> None:
    environment = {"FANOUT_INSECURE": "1"} if "insecure" in how else {}
    options = {name: value for name, value in how.items() if name != "insecure"}
    worker = await workers_without_kafka.start("memory", memory=True, environment=environment, **options)
    assert await answered(session, worker, ADVERTISED) == (204 if how else 403)
