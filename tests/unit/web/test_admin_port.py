"""What operators ask at a port of their own: each route is at one of the two, health is at both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from fanout_app.lease_keys import LeaseKeys
from fanout_app.web.access import Gate
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.views import install
from unit.web.contract_page import routes
from unit.web.fake_runtime import FakeRuntime
from unit.web.test_access import KNOWN, bearing

Asker = TestClient[web.Request, web.Application]


class Apart(NamedTuple):
    """A client at each port."""

    clients: Asker
    operators: Asker


@pytest.fixture
async def apart() -> AsyncIterator[Apart]:
    clients, operators = web.Application(), web.Application()
    runtime = FakeRuntime()
    install(
        clients,
        runtime,
        TokenCodec(LeaseKeys([b"a key of the tests"]), runtime.id, runtime.topic),
        render_metrics=lambda: (b"", "text/plain"),
        operators=operators,
        gate=Gate(KNOWN),
    )
    async with TestClient(TestServer(clients)) as one, TestClient(TestServer(operators)) as other:
        yield Apart(one, other)


@pytest.mark.parametrize(("method", "address", "role"), routes())
async def test_each_address_is_at_one_port_and_the_other_says_at_which(
    apart: Apart, method: str, address: str, role: str
) -> None:
    path = address.format(lease="none", client="nobody", file="dashboard.js") + "?misspelt=1"
    health = address in ("/healthz", "/readyz")
    of_clients = role == "consume" or health
    here, there = (apart.clients, apart.operators) if of_clients else (apart.operators, apart.clients)
    there_detail = await detail(there, method, path)
    assert "this is served at" not in await detail(here, method, path)
    if health:
        assert there_detail == "", "health is at both"
    else:
        option = "--bind" if role == "consume" else "--admin-port"
        assert there_detail == f"this is served at the port of {option} alone: ask there"
        async with there.request(method, path) as response:
            # A browser without a token is told where the page is.
            assert response.status == (404 if role == "none" else 401)


async def detail(asker: Asker, method: str, path: str) -> str:
    """What the problem says that is answered to somebody who may do everything, if one is."""
    async with asker.request(method, path, headers=bearing("admin")) as response:
        return str((await response.json())["detail"]) if response.status >= 400 else ""


async def test_roles_are_asked_for_at_both(apart: Apart) -> None:
    async with apart.operators.post("/v1/pause", headers=bearing("consume")) as response:
        assert response.status == 403
    async with apart.clients.post("/v1/settle", headers=bearing("metrics")) as response:
        assert response.status == 403


async def test_workers_ask_each_other_at_the_port_of_clients_alone(apart: Apart) -> None:
    async with apart.clients.get("/internal/link", headers=bearing("admin")) as response:
        assert response.status == 403
    async with apart.operators.get("/internal/link", headers=bearing("admin")) as response:
        assert response.status == 404
