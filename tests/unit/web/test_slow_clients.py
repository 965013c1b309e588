"""Clients that send slowly, or not at all, or read nothing: each is given up in time, and holds nothing meanwhile."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from fanout_app.web.serving_limits import ServingLimits
from support.eventually import eventually
from unit.web.harness import DEADLINE, MAX_BODY, Served, serving

pytestmark = pytest.mark.usefixtures("heads")

SHORT = 0.3
IMPATIENT = ServingLimits(request_timeout=SHORT, answer_timeout=SHORT)
PULL = b"POST /v1/pull HTTP/1.1\r\nHost: here\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
LARGE = b"x" * (12 << 20)


_opened: list[StreamWriter] = []


@pytest.fixture(autouse=True)
async def _all_leave() -> AsyncIterator[None]:
    yield
    for writer in _opened:
        writer.transport.abort()
    for writer in _opened:
        with suppress(ConnectionError):
            await writer.wait_closed()
    _opened.clear()


async def connected(there: Served, *, receive_buffer: int | None = None) -> tuple[StreamReader, StreamWriter]:
    end = socket.socket()
    end.setblocking(False)
    if receive_buffer is not None:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(end, ("127.0.0.1", there.port))
    reader, writer = await asyncio.open_connection(sock=end, limit=receive_buffer or 1 << 16)
    _opened.append(writer)
    return reader, writer


async def answer(reader: StreamReader) -> tuple[int, bytes]:
    """The next answer: its status, and all of it."""
    async with asyncio.timeout(DEADLINE):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        return int(head.split(b" ", 2)[1]), head + (await reader.readexactly(int(length[1])) if length else b"")


async def closed(reader: StreamReader) -> bool:
    async with asyncio.timeout(DEADLINE):
        try:
            return await reader.read() == b""
        except ConnectionResetError:
            return True


# Requests that do not come to an end ---------------------------------------------------------------------------------

HALVES = {
    "a letter": b"P",
    "a request line": b"POST /v1/pull HTTP/1.1\r\n",
    "some headers": PULL + b"Content-Length: 100\r\n",
    "some of a body": PULL + b"Content-Length: 100\r\n\r\n{",
    "nothing of a body": PULL + b"Content-Length: 100\r\n\r\n",
    "some chunks": PULL + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    "a chunk without its end": PULL + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n{",
    "some of a packed body": PULL + b"Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n\x1f\x8b\x08\x00",
    "nothing after 100 Continue": PULL + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
    "a body that nobody looks at": b"GET /v1/status HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{",
}


@pytest.mark.parametrize("sent", HALVES.values(), ids=HALVES.keys())
async def test_half_a_request_is_408_in_time_and_its_connection_is_closed(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(limits=IMPATIENT, max_waiting=1) as there:
        there.runtime.offer(b"a")
        reader, writer = await connected(there)
        writer.write(sent)
        await eventually(there.connections)
        # It holds neither a message nor a place.
        assert [message["offset"] for message in (await there.pull())["messages"]] == [0]
        status, came = await answer(reader)
        if status == 100:
            status, came = await answer(reader)
        if sent.startswith(b"GET"):
            assert status == 200
        else:
            assert (status, b'"type":"about:blank"' in came) == (408, True), came
            assert came.startswith(b"HTTP/1.0 ") or b"\r\nConnection: close\r\n" in came
        assert await closed(reader)
        await eventually(lambda: there.connections() == 1)
        assert caplog.text == ""


@pytest.mark.parametrize("sent", [PULL + b"Content-Length: 999\r\n\r\n", PULL + b"X: "], ids=["a body", "a head"])
async def test_a_request_that_trickles_is_408_however_often_something_comes(sent: bytes) -> None:
    async with serving(limits=IMPATIENT) as there:
        reader, writer = await connected(there)
        began = time.monotonic()
        writer.write(sent)
        reading = asyncio.create_task(answer(reader))
        while not reading.done():
            writer.write(b"x")
            await asyncio.wait([reading], timeout=SHORT / 10)
        assert (await reading)[0] == 408
        assert time.monotonic() - began >= SHORT


async def test_half_a_request_behind_a_pull_ends_when_the_pull_has_been_answered_and_not_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(limits=IMPATIENT) as there:
        reader, writer = await connected(there)
        writer.write(PULL + b"Content-Length: 0\r\n\r\n")
        await eventually(there.runtime.pulls)
        writer.write(PULL)
        await asyncio.wait_for(asyncio.shield(loop_turns(4 * SHORT)), DEADLINE)
        assert there.runtime.pulls() == 1
        there.runtime.offer(b"a")
        assert (await answer(reader))[0] == 200
        assert (await answer(reader))[0] == 408
    assert caplog.text == ""


async def loop_turns(seconds: float) -> None:
    """Real time passes in the worker, which is what this is about."""
    until = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() >= until)


async def test_a_body_behind_a_pull_has_its_whole_time_after_the_pull() -> None:
    async with serving(limits=IMPATIENT) as there:
        reader, writer = await connected(there)
        body = b'{"wait_ms":0}'
        writer.write(PULL + b"Content-Length: 0\r\n\r\n" + PULL + b"Content-Length: %d\r\n\r\n" % len(body))
        await eventually(there.runtime.pulls)
        await loop_turns(2 * SHORT)
        there.runtime.offer(b"a")
        assert (await answer(reader))[0] == 200
        writer.write(body)
        assert (await answer(reader))[0] == 204


async def test_a_pull_whose_request_has_come_waits_for_longer_than_a_request_may_take() -> None:
    async with serving(limits=IMPATIENT) as there:
        reader, writer = await connected(there)
        # The head and the body by themselves, as slow clients send them.
        writer.write(PULL + b"Content-Length: 2\r\n\r\n")
        await eventually(there.connections)
        writer.write(b"{}")
        await eventually(there.runtime.pulls)
        await loop_turns(3 * SHORT)
        there.runtime.offer(b"a")
        assert (await answer(reader))[0] == 200


async def test_a_connection_that_says_nothing_is_closed_when_it_has_been_idle_for_long_enough() -> None:
    async with serving(limits=ServingLimits(idle_timeout=SHORT)) as there:
        silent, _writer = await connected(there)
        reader, writer = await connected(there)
        writer.write(HEALTH)
        assert (await answer(reader))[0] == 200
        waiting, pulling = await connected(there)
        pulling.write(PULL + b"Content-Length: 0\r\n\r\n")
        assert await closed(silent)
        assert await closed(reader)
        assert there.runtime.pulls() == 1
        there.runtime.offer(b"a")
        assert (await answer(waiting))[0] == 200


# Bodies that are too large -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/pull", "/v1/settle", "/v1/seek", "/v1/pause", "/v1/next", "/v1/leases/x/nack"])
@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
async def test_a_body_that_says_it_is_too_large_is_413_before_any_of_it_is_sent(path: str, expects: bytes) -> None:
    async with serving() as there:
        reader, writer = await connected(there)
        head = b"POST %b HTTP/1.1\r\nHost: here\r\n%bContent-Length: %d\r\n\r\n"
        writer.write(head % (path.encode(), expects, MAX_BODY + 1))
        status, came = await answer(reader)
        assert status == 413, came
        assert str(MAX_BODY).encode() in came


# Clients that do not read --------------------------------------------------------------------------------------------


async def test_a_client_that_takes_nothing_of_its_answer_is_hung_up_on_before_its_leases_end() -> None:
    async with serving(limits=IMPATIENT) as there:
        there.runtime.offer(LARGE)
        _reader, writer = await connected(there, receive_buffer=4096)
        writer.write(PULL + b"Content-Length: 0\r\n\r\n")
        await eventually(lambda: there.runtime.dispatcher.clients.in_flight)
        await eventually(lambda: not there.connections())
        await eventually(lambda: there.runtime.released)
        assert there.runtime.free() == [0]
        assert there.runtime.dispatcher.counters.expired == 0


async def test_a_client_that_reads_slowly_gets_all_of_its_answer() -> None:
    async with serving(limits=IMPATIENT) as there:
        there.runtime.offer(b"x" * (4 << 20))
        reader, writer = await connected(there, receive_buffer=1 << 16)
        writer.write(b"POST /v1/next HTTP/1.1\r\nHost: here\r\n\r\n")
        began, got = time.monotonic(), 0
        while got < 4 << 20:
            if time.monotonic() - began < 4 * SHORT:
                await loop_turns(SHORT / 6)
            piece = await reader.read(60_000)
            assert piece, f"hung up on after {got} bytes and {time.monotonic() - began:.1f} s"
            got += piece.count(b"x")
        assert there.runtime.dispatcher.clients.in_flight == 1


async def test_a_client_that_asks_again_and_again_and_never_reads_is_hung_up_on() -> None:
    async with serving(limits=IMPATIENT) as there:
        _reader, writer = await connected(there, receive_buffer=4096)
        asking = asyncio.create_task(ask_for_ever(writer))
        await eventually(there.connections)
        await eventually(lambda: not there.connections())
        with pytest.raises(ConnectionError):
            await asking


async def ask_for_ever(writer: StreamWriter) -> None:
    while True:
        writer.write(HEALTH * 100)
        await writer.drain()


async def test_what_is_left_of_an_answer_when_a_connection_is_closed_does_not_keep_it_open() -> None:
    """Less than makes the server wait with writing, and more than the kernel takes."""
    async with serving(limits=ServingLimits(answer_timeout=SHORT, idle_timeout=SHORT)) as there:
        _reader, writer = await connected(there, receive_buffer=4096)
        await eventually(there.connections)
        (end,) = there.transports()
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        while not end.get_write_buffer_size():
            writer.write(HEALTH * 10)
            await loop_turns(0.01)
        assert end.get_write_buffer_size() < 60_000
        await eventually(lambda: not there.server.connections)


# More connections than there may be ----------------------------------------------------------------------------------


async def pulling(there: Served) -> tuple[StreamReader, StreamWriter]:
    before = there.runtime.pulls()
    reader, writer = await connected(there)
    writer.write(PULL + b"Content-Length: 0\r\n\r\n")
    await eventually(lambda: there.runtime.pulls() == before + 1)
    return reader, writer


async def test_a_new_connection_takes_the_place_of_the_one_that_is_idle_for_longest() -> None:
    async with serving(connections=4) as there:
        waiting, _ = await pulling(there)
        idle = []
        for _ in range(3):
            reader, writer = await connected(there)
            writer.write(HEALTH)
            assert (await answer(reader))[0] == 200
            idle.append((reader, writer))
        # The first of them is asked something again, so it is the last.
        idle[0][1].write(HEALTH)
        assert (await answer(idle[0][0]))[0] == 200
        reader, writer = await connected(there)
        writer.write(HEALTH)
        assert (await answer(reader))[0] == 200
        assert await closed(idle[1][0])
        await eventually(lambda: there.connections() == 4)
        for still in (0, 2):
            idle[still][1].write(HEALTH)
            assert (await answer(idle[still][0]))[0] == 200
        there.runtime.offer(b"a")
        assert (await answer(waiting))[0] == 200


async def test_where_all_are_busy_one_more_is_503_but_for_health_and_a_place_that_is_left_is_free() -> None:
    async with serving(connections=3) as there:
        waiting = [await pulling(there) for _ in range(3)]
        reader, writer = await connected(there)
        writer.write(b"GET /v1/status HTTP/1.1\r\nHost: here\r\n\r\n")
        status, came = await answer(reader)
        assert (status, b"\r\nRetry-After: 1\r\n" in came, b"\r\nConnection: close\r\n" in came) == (503, True, True)
        assert b"3 connections are open at this worker already" in came
        assert await closed(reader)
        reader, writer = await connected(there)
        writer.write(HEALTH)
        assert (await answer(reader))[0] == 200
        writer.transport.abort()
        waiting.pop()[1].transport.abort()
        await eventually(lambda: there.runtime.pulls() == 2)
        there.runtime.offer(b"a", b"b", b"c")
        assert [message["offset"] for message in (await there.pull())["messages"]] == [2]


async def test_those_that_find_no_place_and_say_nothing_are_closed_and_many_of_them_at_once() -> None:
    async with serving(connections=1) as there:
        waiting, _ = await pulling(there)
        many = [await connected(there) for _ in range(150)]
        await asyncio.gather(*(closed(reader) for reader, _ in many))
        await eventually(lambda: len(there.server.connections) == 1)
        there.runtime.offer(b"a")
        assert (await answer(waiting))[0] == 200


async def test_no_request_that_has_come_is_given_up_for_a_new_connection() -> None:
    """Those behind a pull have come as well."""
    async with serving(connections=1) as there:
        reader, writer = await pulling(there)
        writer.write(HEALTH)
        other, asking = await connected(there)
        asking.write(b"GET /v1/status HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await answer(other))[0] == 503
        there.runtime.offer(b"a")
        assert (await answer(reader))[0] == 200
        assert (await answer(reader))[0] == 200
