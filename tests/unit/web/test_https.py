"""Serving with TLS over real sockets: all goes as without, what is not TLS is told so, and what is slow is given up."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import ssl
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from fanout_app.tls import TlsFiles
from fanout_app.web.serving_limits import ServingLimits
from support.certificates import Authority, Files
from support.eventually import eventually
from unit.web.harness import DEADLINE, Served, serving

pytestmark = pytest.mark.usefixtures("heads")

SHORT = 0.3
LARGE = b"x" * (12 << 20)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
PULL = b"POST /v1/pull HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n%s"


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def files_of(cert: Files, client_ca: str | None = None) -> TlsFiles:
    given: Any = SimpleNamespace(tls_cert=cert.cert, tls_key=cert.key, client_ca=client_ca, peer_ca=None)
    files = TlsFiles(given)
    files.read()
    return files


async def connected(there: Served, trust: ssl.SSLContext | None, **how: Any) -> tuple[StreamReader, StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", there.port, ssl=trust, **how)


async def all_of(reader: StreamReader) -> bytes:
    """What comes until the other end closes."""
    async with asyncio.timeout(DEADLINE):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def shaken(ca: Authority, there: Served, *, receive_buffer: int) -> ssl.SSLSocket:
    """A client that only reads what it is told to, and has room for so many bytes."""
    end = socket.create_connection(("127.0.0.1", there.port))
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    end.settimeout(DEADLINE)
    return await asyncio.to_thread(ca.trusted().wrap_socket, end, server_hostname="127.0.0.1")


async def health(there: Served, trust: ssl.SSLContext) -> bytes:
    """What comes of asking for it, at whatever point one is hung up on."""
    try:
        reader, writer = await connected(there, trust)
    except (ssl.SSLError, ConnectionError):
        return b""
    try:
        writer.write(HEALTH)
        return await reader.read()
    except (ssl.SSLError, ConnectionError):
        return b""
    finally:
        writer.transport.abort()


def pull(**body: Any) -> bytes:
    raw = json.dumps({"client": "bob", "wait_ms": 0, **body}).encode()
    return PULL % (len(raw), raw)


async def test_plain_http_is_told_that_it_is_https_and_leaves_no_line(
    ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted()) as there:
        plain = aiohttp.ClientSession(f"http://127.0.0.1:{there.port}")
        async with plain, plain.post("/v1/pull", data=b"x" * 100_000) as got:
            assert got.status == 400
            assert (await got.json(content_type=None))[
                "detail"
            ] == "this port serves HTTPS: ask for the same at https://"
        for sent in (b"\x00\x01\x02", b"\x16garbage that is no handshake at all", b"\x80"):
            reader, writer = await connected(there, None)
            writer.write(sent)
            assert b"HTTP" not in await all_of(reader)
            writer.close()
        assert await there.ask("GET", "/healthz")
        assert there.connections() == 1
        assert caplog.text == ""


async def test_who_trusts_another_ca_or_another_name_does_not_connect(ca: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    async with serving(tls=files_of(ca.issue("one", "127.0.0.1")), trust=ca.trusted()) as there:
        for trust, name in ((other.trusted(), "127.0.0.1"), (ca.trusted(), "elsewhere")):
            with pytest.raises(ssl.SSLCertVerificationError):
                await connected(there, trust, server_hostname=name)
        await eventually(lambda: there.connections() == 0)


async def test_a_certificate_of_the_client_ca_is_asked_for_and_looked_at(
    ca: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    others = Authority(tmp_path / "others")
    tls = files_of(ca.issue("one"), client_ca=others.file)
    async with serving(tls=tls, trust=ca.trusted(others.issue("ann"))) as there:
        assert (await there.ask("GET", "/healthz"))[0] == 200
        for shown in (None, ca.issue("of another ca"), others.issue("expired", days=-1)):
            # With TLS 1.3 the client is done before the server has looked, and hears of it with what it asks for.
            assert await health(there, ca.trusted(shown)) == b""
        await eventually(lambda: there.connections() == 1)
        assert caplog.text == ""


async def test_a_renewed_certificate_is_shown_to_the_next_connection_and_the_open_ones_go_on(ca: Authority) -> None:
    tls = files_of(ca.issue("one", "127.0.0.1", "before"))
    async with serving(tls=tls, trust=ca.trusted()) as there:
        await there.ask("GET", "/healthz")
        ca.issue("one", "127.0.0.1", "after")
        tls.look()
        _, writer = await connected(there, ca.trusted())
        shown = writer.get_extra_info("peercert")
        assert ("DNS", "after") in shown["subjectAltName"]
        writer.close()
        await there.ask("GET", "/healthz")
        await eventually(lambda: there.connections() == 1)


# Who is slow ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "a byte", "some bytes"])
async def test_hands_that_are_not_shaken_in_time_are_let_go(
    sent: bytes, ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    limits = ServingLimits(request_timeout=SHORT)
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted(), limits=limits) as there:
        reader, writer = await connected(there, None)
        writer.write(sent)
        assert await all_of(reader) == b""
        writer.close()
        assert caplog.text == ""


async def test_who_has_not_shaken_hands_gives_way_to_who_comes_next(ca: Authority) -> None:
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted(), connections=2) as there:
        silent = [await connected(there, None) for _ in range(2)]
        assert (await there.ask("GET", "/healthz"))[0] == 200
        assert await all_of(silent[0][0]) == b""
        assert not silent[1][0].at_eof()
        for _, writer in silent:
            writer.close()


async def test_of_a_burst_of_those_who_say_nothing_the_last_have_the_places(ca: Authority) -> None:
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted(), connections=2) as there:
        # All are accepted in one go: some give way before anything was done about them.
        burst = [socket.create_connection(("127.0.0.1", there.port)) for _ in range(20)]
        for one in burst[:-2]:
            one.settimeout(DEADLINE)
            assert await asyncio.to_thread(one.recv, 1) == b""
        for one in burst[-2:]:
            one.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.recv(1)
        for one in burst:
            one.close()


async def test_where_all_are_busy_who_comes_next_is_told_so(ca: Authority) -> None:
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted(), connections=1) as there:
        waiting = asyncio.create_task(there.pull(wait_ms=5000))
        await eventually(lambda: there.connections() == 1)
        reader, writer = await connected(there, ca.trusted())
        writer.write(b"GET /v1/status HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await all_of(reader)).startswith(b"HTTP/1.1 503 ")
        writer.close()
        there.runtime.offer(b"a")
        assert len((await waiting)["messages"]) == 1


async def _nobody_takes(ca: Authority) -> None:
    """A large answer that nobody takes is hung up on, and its messages go to others."""
    limits = ServingLimits(answer_timeout=SHORT)
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted(), limits=limits) as there:
        there.runtime.offer(LARGE)
        with await shaken(ca, there, receive_buffer=4096) as end:
            end.sendall(pull(max_bytes=16 << 20))
            await eventually(lambda: there.runtime.dispatcher.clients.in_flight)
            await eventually(lambda: not there.connections())
            await eventually(lambda: there.runtime.released)
            assert there.runtime.free() == [0]
            assert there.runtime.dispatcher.counters.expired == 0


async def _taken_slowly(ca: Authority) -> None:
    """A large answer comes whole, however little of it is taken at once: only who takes nothing is hung up on."""
    limits = ServingLimits(answer_timeout=SHORT)
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted(), limits=limits) as there:
        there.runtime.offer(LARGE)
        with await shaken(ca, there, receive_buffer=64 << 10) as end:
            end.sendall(pull(max_bytes=16 << 20))
            await asyncio.to_thread(take, end, slowly_for=4 * SHORT)


async def _two_after_another(ca: Authority) -> None:
    """Messages are handed out and settled as ever, large ones too; the second time the head may be known."""
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted()) as there:
        there.runtime.offer(LARGE, LARGE)
        for _ in range(2):
            (message,) = (await there.pull(max_messages=1))["messages"]
            assert len(message["value"]) == len(LARGE) * 4 / 3  # base64
            settled = await there.settle(ack=[message["lease"]])
            assert settled["acked"] == 1, settled


def take(end: ssl.SSLSocket, *, slowly_for: float) -> None:
    came, began, at_once = 0, time.monotonic(), 128 << 10
    while came < len(LARGE):
        if time.monotonic() - began < slowly_for:
            time.sleep(SHORT / 6)  # the client's own pace
        until = came + at_once
        while came < until:
            piece = end.recv(at_once)
            assert piece, f"hung up on after {came} bytes"
            came += len(piece)


@pytest.mark.parametrize("story", [_nobody_takes, _taken_slowly, _two_after_another])
async def test_large_answers(story: Callable[[Authority], Awaitable[None]], ca: Authority) -> None:
    await story(ca)


@pytest.mark.parametrize("story", [_nobody_takes, _taken_slowly, _two_after_another])
async def test_large_answers_by_uvloop(story: Callable[[Authority], Coroutine[Any, Any, None]], ca: Authority) -> None:
    """Which has a TLS of its own."""
    uvloop = pytest.importorskip("uvloop")
    await asyncio.to_thread(asyncio.Runner(loop_factory=uvloop.new_event_loop).run, story(ca))


async def test_what_waits_to_leave_stops_the_writer(ca: Authority) -> None:
    """Of the second piece on: else a client that takes nothing looks like one that has taken all."""
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted()) as there:
        with await shaken(ca, there, receive_buffer=4096):
            await eventually(lambda: there.connections() == 1)
            (transport,) = there.transports()
            transport.write(LARGE)
            assert transport.get_write_buffer_size() > len(LARGE) / 2


class Scarce(socket.socket):
    """A listener of a process that has no more files for a moment."""

    refusals = 2

    def accept(self) -> tuple[socket.socket, Any]:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_without_files_to_spare_connections_wait_and_it_is_said_once(
    ca: Authority, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanout_app.web.tls_site._PAUSE", 0.01)

    def create_server(address: tuple[str, int]) -> socket.socket:
        listener = Scarce()
        listener.bind(address)
        listener.listen()
        return listener

    monkeypatch.setattr("unit.web.harness.socket.create_server", create_server)
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted()) as there:
        assert (await there.ask("GET", "/healthz"))[0] == 200
    assert [record.getMessage() for record in caplog.records] == [
        "no connection can be taken at the moment: [Errno 24] Too many open files"
    ]


async def test_a_stop_ends_those_that_have_not_shaken_hands(ca: Authority) -> None:
    async with serving(tls=files_of(ca.issue("one")), trust=ca.trusted()) as there:
        reader, writer = await connected(there, None)
        assert (await there.ask("GET", "/healthz"))[0] == 200
    assert await all_of(reader) == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await connected(there, None)
