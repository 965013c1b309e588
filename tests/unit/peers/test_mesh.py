"""Connections between workers, over real sockets."""

from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp
import msgspec
import pytest
from aiohttp import web

from fanout_app.cluster.frames import Confirm, Frame, Handed, State
from fanout_app.lease_keys import Seal
from fanout_app.peers import link
from fanout_app.peers import mesh as module
from fanout_app.peers.handshake import LINK, SEAL_HEADER
from support.eventually import eventually
from unit.peers.nodes import introduce, node


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CALL_AGAIN", 0.05)
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.01)


async def test_each_pair_has_one_connection_and_frames_go_both_ways_in_order() -> None:
    async with node("a") as a, node("b") as b, node("c") as c:
        introduce(a, b, c)
        await eventually(lambda: (a.names(), b.names(), c.names()) == (["b", "c"], ["a", "c"], ["a", "b"]))
        (to_b,) = [peer for peer in a.peers if peer.name == "b"]
        (to_a,) = [peer for peer in b.peers if peer.name == "a"]
        large = Handed(9, 1, (("h", "v"),), b"x" * (20 << 20), 1.0)
        frames: list[Frame] = [Confirm(number) for number in range(100)]
        for frame in (*frames, large):
            to_b.send(frame)
        to_a.send(State((1,), 2, 3))

        await eventually(lambda: len(b.heard) == 101 and a.heard)
        assert [frame for _, frame in b.heard] == [*frames, large]
        assert a.heard == [("b", State((1,), 2, 3))]


async def test_a_connection_that_is_dropped_is_lost_at_both_ends_and_comes_again() -> None:
    async with node("a") as a, node("b") as b:
        introduce(a, b)
        await eventually(lambda: a.peers and b.peers)
        first = b.peers[0]

        first.drop()

        await eventually(lambda: a.lost_ones == ["b"] and b.lost_ones == ["a"])
        await eventually(lambda: a.names() == ["b"] and b.names() == ["a"])
        assert b.peers[0] is not first


async def test_an_end_that_has_nothing_to_say_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one may be busy sending, and its question whether anybody is there would be stuck behind that."""
    monkeypatch.setattr(link, "_SAYS_SOMETHING_EVERY", 0.02)
    async with node("a") as a, node("b") as b, aiohttp.ClientSession() as http:
        path, seal = a.handshake.call("b")
        async with http.ws_connect(b.address + path, headers={SEAL_HEADER: seal}) as socket:
            await socket.receive_bytes()
            said = [msgspec.msgpack.decode(await socket.receive_bytes(timeout=10)) for _ in range(3)]
            assert said == [[], [], []]
            await socket.send_bytes(msgspec.msgpack.encode([]))
            await socket.send_bytes(msgspec.msgpack.encode([Confirm(1)]))
            await eventually(lambda: b.heard == [("a", Confirm(1))])


async def test_one_worker_keeps_connections_to_more_than_a_hundred_others() -> None:
    async with AsyncExitStack() as nodes:
        a, *others = [await nodes.enter_async_context(node(f"w{number:03}")) for number in range(103)]
        a.addresses = {other.name: other.address for other in others}

        await eventually(lambda: len(a.peers) == len(others))
        assert a.lost_ones == []


async def test_a_worker_with_other_keys_is_never_connected() -> None:
    async with node("a") as a, node("b", b"other key") as b, node("c") as c:
        introduce(a, b, c)
        await eventually(lambda: (a.names(), c.names()) == (["c"], ["a"]))
        async with aiohttp.ClientSession() as http:
            path, seal = b.handshake.call("c")
            async with http.get(c.address + path, headers={SEAL_HEADER: seal}) as refused:
                assert refused.status == 403
        assert (a.names(), b.names(), c.names()) == (["c"], [], ["a"])


@pytest.mark.parametrize("ahead", [86_400.0, -2 * 86_400.0])
async def test_workers_whose_clocks_are_days_apart_are_connected_and_told_so_once(
    ahead: float, caplog: pytest.LogCaptureFixture
) -> None:
    async with node("a", ahead=ahead) as a, node("b") as b:
        introduce(a, b)
        await eventually(lambda: (a.names(), b.names()) == (["b"], ["a"]))
        b.peers[0].drop()
        await eventually(lambda: a.lost_ones == ["b"] and a.names() == ["b"])
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert f"{abs(ahead):.0f} s" in told[0]


async def test_one_that_answers_without_the_key_is_told_nothing() -> None:
    """Somebody else has taken the address of a worker that is gone, and takes whatever call comes."""
    calls = []

    async def take(request: web.Request) -> web.StreamResponse:
        calls.append(request.path)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(b"\x00" * Seal.SIZE)
        await socket.receive()
        return socket

    app = web.Application()
    app.add_routes([web.get(LINK, take)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with node("a") as a:
        a.addresses = {"b": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        await eventually(lambda: len(calls) > 1)
        assert a.peers == []
        assert a.lost_ones == []
    await runner.cleanup()


async def test_a_call_that_was_listened_to_cannot_be_made_again() -> None:
    async with node("a") as a, node("b") as b, aiohttp.ClientSession() as http:
        path, seal = a.handshake.call("b")
        headers = {SEAL_HEADER: seal}
        async with http.ws_connect(b.address + path, headers=headers):
            await eventually(lambda: b.names() == ["a"])
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(b.address + path, headers=headers)
            assert refused.value.status == 403
            assert b.names() == ["a"]


@pytest.mark.parametrize("headers", [{}, {SEAL_HEADER: "00"}, {"Authorization": "Bearer " + "a" * 40}])
async def test_nobody_else_is_let_in(headers: dict[str, str]) -> None:
    async with node("b") as b, aiohttp.ClientSession() as http:
        async with http.get(b.address + LINK + "?from=a&to=b&time=0&once=1", headers=headers) as refused:
            assert refused.status == 403
        assert b.peers == []


async def test_frames_of_a_newer_version_are_passed_over() -> None:
    async with node("a") as a, node("b") as b, aiohttp.ClientSession() as http:
        path, seal = a.handshake.call("b")
        async with http.ws_connect(b.address + path, headers={SEAL_HEADER: seal}) as socket:
            await socket.receive_bytes()
            await socket.send_bytes(b"\x93\x92\xa5later\x01" + b"\x93\xa7confirm\x05\xa3new" + b"\x92\xa7confirm\x06")
            await eventually(lambda: b.heard == [("a", Confirm(5)), ("a", Confirm(6))])
