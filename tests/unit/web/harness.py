"""The real core behind the real views on a real socket; only Kafka, the changelog and the clock are made up."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from fanout_app.lease_keys import LeaseKeys
from fanout_app.metrics import Metrics
from fanout_app.tls import TlsFiles
from fanout_app.web.access import Gate
from fanout_app.web.listening import new_site
from fanout_app.web.runner import ProblemRunner
from fanout_app.web.serving_limits import ServingLimits
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.views import install
from unit.web.fake_runtime import FakeRuntime

DEADLINE = 10.0
#: The default of ``--max-body-size``.
MAX_BODY = 4 << 20


@dataclass
class Served:
    """A worker that answers, and a client for it."""

    runtime: FakeRuntime
    codec: TokenCodec
    metrics: Metrics
    http: aiohttp.ClientSession
    port: int
    server: web.Server

    def connections(self) -> int:
        """How many connections its clients have, as far as the worker has noticed."""
        return len(self.transports())

    def transports(self) -> list[asyncio.Transport]:
        """The worker's ends of them."""
        return [connection.transport for connection in self.server.connections if connection.transport is not None]

    async def pull(self, **body: Any) -> dict[str, Any]:
        """One that is answered with messages."""
        async with self.http.post("/v1/pull", json={"client": "ann", "wait_ms": 0, "max_messages": 100, **body}) as got:
            assert got.status == 200, await got.text()
            answer: dict[str, Any] = await got.json()
            return answer

    async def settle(self, **body: Any) -> dict[str, Any]:
        async with self.http.post("/v1/settle", json=body) as got:
            assert got.status == 200, await got.text()
            answer: dict[str, Any] = await got.json()
            return answer

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, dict[str, str], Any]:
        """Status, headers and what the body holds: decoded where it is JSON, a problem or msgpack is not."""
        async with self.http.request(method, path, **how) as got:
            is_json = got.content_type in ("application/json", "application/problem+json")
            return got.status, dict(got.headers), await got.json(content_type=None) if is_json else await got.read()

    async def raw_status(self, method: str, path: str) -> int:
        """The status for a path that is sent as it stands: client libraries rewrite what they take for a mistake.

        A lone surrogate stands for a byte that is not UTF-8.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(DEADLINE):
                writer.write(f"{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode(errors="surrogateescape"))
                return int((await reader.readline()).split()[1])
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def serving(
    runtime: FakeRuntime | None = None,
    *,
    handler_cancellation: bool = True,
    gate: Gate | None = None,
    limits: ServingLimits | None = None,
    connections: int | None = None,
    tls: TlsFiles | None = None,
    trust: ssl.SSLContext | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """With ``tls`` it is HTTPS, and ``trust`` is what its client goes by."""
    runtime = runtime or FakeRuntime()
    codec = TokenCodec(LeaseKeys([b"a key of the tests"]), runtime.id, runtime.topic)
    metrics = Metrics(runtime)
    app = web.Application(client_max_size=MAX_BODY)
    install(app, runtime, codec, render_metrics=metrics.render, gate=gate, **settings)
    runner = ProblemRunner(
        app,
        limits or ServingLimits(),
        always={"/healthz"},
        handler_cancellation=handler_cancellation,
        shutdown_timeout=0.1,
    )
    if connections is not None:
        runner.allow(connections)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await new_site(runner, listener, tls).start()
    port, server = listener.getsockname()[1], runner.server
    assert server is not None
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    scheme = "http" if tls is None else "https"
    connector = aiohttp.TCPConnector(ssl=trust or True)
    async with aiohttp.ClientSession(f"{scheme}://127.0.0.1:{port}", timeout=timeout, connector=connector) as http:
        try:
            yield Served(runtime, codec, metrics, http, port, server)
        finally:
            await runner.cleanup()
