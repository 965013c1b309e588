"""What a worker of ours would never say: the connection is given up, and neither worker ends."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from fanout_app.peers.handshake import LINK, SEAL_HEADER
from support.eventually import eventually
from unit.peers.nodes import Node, node

#: Messages of a WebSocket that is a connection of workers.
GARBAGE = {
    "nothing": b"",
    "no msgpack": b"\xc1",
    "no list": b"\xa5hello",
    "a list that is cut off": b"\xdd\xff\xff\xff\xff",
    "a frame that is cut off": b"\x91\x92\xa7confirm",
    "nesting without end": b"\x91" * 100_000,
    "a text that is not UTF-8": b"\x91\x93\xa7nothing\x05\xa1\xff",
    "random bytes": bytes(range(256)),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_whoever_called_and_sends_garbage_is_hung_up_on(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with node("a") as a, node("b") as b, aiohttp.ClientSession() as http:
        path, seal = a.handshake.call("b")
        async with http.ws_connect(b.address + path, headers={SEAL_HEADER: seal}) as socket:
            await socket.receive_bytes()
            await socket.send_bytes(garbage)
            async with asyncio.timeout(10):
                async for _ in socket:  # until it is closed
                    pass
        await eventually(lambda: b.lost_ones == ["a"])
        assert b.heard == []
        warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert len(warnings) == 1
        assert "worker a" in warnings[0]
        assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_whoever_was_called_and_sends_garbage_is_called_again_and_ends_nobody(garbage: bytes) -> None:
    async with node("a") as a:
        b = Node("b", b"key", 0.0)
        calls = []

        async def take(request: web.Request) -> web.StreamResponse:
            calls.append(request.path)
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_bytes(b.handshake.answer(request.path_qs))
            await socket.send_bytes(garbage)
            await socket.receive()
            return socket

        app = web.Application()
        app.add_routes([web.get(LINK, take)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        a.addresses = {"b": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        await eventually(lambda: len(calls) > 1)
        assert a.heard == []
        a.addresses = {}
        await runner.cleanup()
