"""What a worker answers is what /openapi.json says that it answers: nothing is missing, and nothing else is there."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec
import pytest

from fanout_app.web import shapes
from support.clients import MakeClient
from support.workers import Worker, Workers


@pytest.fixture
async def worker(workers_without_kafka: Workers) -> Worker:
    return await workers_without_kafka.start("memory", memory=True)


def as_described(answer: Any, shape: type[msgspec.Struct]) -> None:
    read = msgspec.convert(answer, shape)
    assert msgspec.to_builtins(read).keys() == answer.keys()


async def test_answers_are_as_they_are_described(
    worker: Worker, session: aiohttp.ClientSession, client: MakeClient
) -> None:
    async def ask(method: str, path: str, status: int = 200, **how: Any) -> Any:
        async with session.request(method, worker.url + path, **how) as response:
            assert response.status == status, await response.text()
            return await response.json(content_type=None)

    values = [{"value": "a", "headers": [["a", "b"], ["c", None]]}, {"value": "/w==", "encoding": "base64"}, {}]
    await ask("POST", "/v1/produce", json={"messages": values})
    pulled = await ask("POST", "/v1/pull", json={"client": "one", "encoding": "utf8", "max_messages": 3})
    as_described(pulled, shapes.Pulled)
    assert [message.get("encoding") for message in pulled["messages"]] == [None, "base64", None]
    leases = [message["lease"] for message in pulled["messages"]]
    await client(worker, "one").settle(reject=[{"lease": leases[0], "reason": "look"}])
    as_described(await ask("POST", "/v1/settle", json={"ack": [leases[1], "no token"]}), shapes.Settled)
    riding = {"client": "one", "wait_ms": 0, "settle": {"ack": [leases[1]]}}
    as_described(await ask("POST", "/v1/pull", json=riding), shapes.Pulled)
    shape: type[msgspec.Struct]
    for path, shape in (
        (f"/v1/leases/{leases[2]}", shapes.LeaseState),
        ("/v1/leases", shapes.Leases),
        ("/v1/clients", shapes.Clients),
        ("/v1/parked", shapes.Parked),
        ("/v1/canary", shapes.Canary),
        ("/v1/status", shapes.Status),
        ("/v1/partitions", shapes.Partitions),
        ("/v1/workers", shapes.Workers),
        ("/v1/leader", shapes.Leader),
        ("/healthz", shapes.Healthy),
        ("/readyz", shapes.Ready),
    ):
        as_described(await ask("GET", path), shape)
    for path, body, shape in (
        ("/v1/pause", None, shapes.Paused),
        ("/v1/resume", None, shapes.Paused),
        ("/v1/parked/redrive", {"all": True}, shapes.Redriven),
        ("/v1/seek", {"to": "earliest", "force": True}, shapes.Sought),
    ):
        as_described(await ask("POST", path, json=body), shape)
    as_described(await ask("POST", "/v1/pull", 400, json={"no such field": 1}), shapes.Problem)
    as_described(await ask("GET", "/v1/nothing", 404), shapes.Problem)
