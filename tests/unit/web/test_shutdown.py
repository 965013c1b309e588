"""How the web server ends: whoever asked is answered, and connections of other workers hold nobody up."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from fanout_app.web.runner import ProblemRunner
from fanout_app.web.serving_limits import ServingLimits
from support.eventually import eventually
from unit.web.harness import DEADLINE

pytestmark = pytest.mark.usefixtures("heads")

#: Seconds that handlers are waited for: a server that waits so long for a connection between workers is seen.
LONG = 6 * DEADLINE


class Relaying:
    """A server of which each answer is fetched over the one connection that somebody has opened to it."""

    def __init__(self) -> None:
        app = web.Application()
        app.router.add_get("/link", self._link)
        app.router.add_get("/ask", self._ask)
        self.runner = ProblemRunner(app, ServingLimits(), handler_cancellation=True, shutdown_timeout=LONG)
        self.runner.allow(100)
        self.url = ""
        self._socket: web.WebSocketResponse | None = None
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        host, port = self.runner.addresses[0]
        self.url = f"http://{host}:{port}"

    async def _link(self, request: web.Request) -> web.StreamResponse:
        self._socket = web.WebSocketResponse()
        await self._socket.prepare(request)
        async for message in self._socket:
            self._answer.set_result(message.data)
        return self._socket

    async def _ask(self, _: web.Request) -> web.StreamResponse:
        assert self._socket is not None
        await self._socket.send_str("?")
        return web.Response(text=await self._answer)


async def test_a_connection_between_workers_is_not_waited_for_but_who_is_answered_over_it_is() -> None:
    server = Relaying()
    await server.start()
    async with aiohttp.ClientSession(server.url) as http, http.ws_connect("/link") as link:
        asking = asyncio.create_task(http.get("/ask"))
        assert await link.receive_str(timeout=DEADLINE) == "?"
        ending = asyncio.create_task(server.runner.cleanup())
        # From here on nobody is let in, so the end has begun.
        await eventually(lambda: not server.runner.sites, DEADLINE)
        await link.send_str("!")
        async with asyncio.timeout(DEADLINE), await asking as answer:
            assert (answer.status, await answer.text()) == (200, "!")
        async with asyncio.timeout(DEADLINE):
            await ending
        assert (await link.receive(timeout=DEADLINE)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
