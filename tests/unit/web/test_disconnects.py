"""Clients that go away: what they were to be given is given to somebody else at once."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio import StreamReader, StreamWriter

import pytest

from support.eventually import eventually
from unit.web.fake_runtime import FakeRuntime
from unit.web.harness import Served, serving

pytestmark = pytest.mark.usefixtures("heads")

LARGE = b"x" * (12 << 20)


def _request(path: str, body: dict[str, object] | None = None, method: str = "POST") -> bytes:
    raw = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: here\r\nFanout-Client: gone\r\nContent-Length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


async def _send(there: Served, path: str, body: dict[str, object] | None = None) -> tuple[StreamReader, StreamWriter]:
    """A request, and nobody who reads what is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
    writer.write(_request(path, body))
    await writer.drain()
    return reader, writer


async def _answer(reader: StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer on a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return int(head.split()[1]), await reader.readexactly(int(length[1])) if length else b""


async def _leave(writer: StreamWriter) -> None:
    writer.transport.abort()
    await eventually(writer.transport.is_closing)


def _in_flight(runtime: FakeRuntime) -> int:
    return runtime.dispatcher.clients.in_flight


@pytest.mark.parametrize("path", ["/v1/pull", "/v1/next?wait_ms=50000"])
async def test_a_connection_that_closes_while_it_waits_ends_the_wait(path: str) -> None:
    async with serving() as there:
        _reader, writer = await _send(there, path)
        await eventually(there.runtime.pulls)
        await _leave(writer)
        await eventually(lambda: not there.runtime.pulls())
        there.runtime.offer(b"a")
        assert there.runtime.dispatcher.counters.delivered == 0
        assert there.runtime.free() == [0]


@pytest.mark.parametrize("path", ["/v1/pull", "/v1/next?wait_ms=0"])
async def test_a_message_for_a_client_found_gone_is_not_written_but_released(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without cancellation nothing but the look at the connection tells."""
    async with serving(handler_cancellation=False) as there:
        at_the_door, go_on = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            at_the_door.set()
            await go_on.wait()

        there.runtime.before_answer = hold
        there.runtime.offer(b"a")
        _reader, writer = await _send(there, path)
        await at_the_door.wait()
        assert _in_flight(there.runtime) == 1
        await _leave(writer)
        await eventually(lambda: not there.connections())
        go_on.set()
        await eventually(lambda: there.runtime.released)
        assert _in_flight(there.runtime) == 0
        assert there.runtime.dispatcher.counters.expired == 0
        there.runtime.before_answer = None
        (message,) = (await there.pull(client="ann"))["messages"]
        assert (message["offset"], message["delivery_count"]) == (0, 1)
        assert caplog.text == ""


@pytest.mark.parametrize("handler_cancellation", [True, False])
@pytest.mark.parametrize("path", ["/v1/pull", "/v1/next?wait_ms=0"])
async def test_an_answer_that_could_not_be_written_whole_is_released(path: str, handler_cancellation: bool) -> None:
    async with serving(handler_cancellation=handler_cancellation) as there:
        there.runtime.offer(LARGE)
        _reader, writer = await _send(there, path)
        await eventually(lambda: _in_flight(there.runtime) == 1)
        assert there.runtime.released == []
        await _leave(writer)
        await eventually(lambda: there.runtime.released)
        assert _in_flight(there.runtime) == 0
        assert there.runtime.free() == [0]


async def test_an_answer_that_was_written_is_not_released() -> None:
    async with serving() as there:
        there.runtime.offer(b"a")
        reader, writer = await _send(there, "/v1/pull")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await _leave(writer)
        await eventually(lambda: not there.connections())
        assert there.runtime.released == []
        assert _in_flight(there.runtime) == 1


async def test_an_answer_that_cannot_be_made_is_released_and_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as there:
        # Such a header name cannot come out of Kafka; it stands for any fault of ours between lease and answer.
        there.runtime.offer(b"a", headers=[("\ud800", b"x")])
        status, headers, problem = await there.ask("POST", "/v1/pull", json={"client": "ann"})
        assert (status, headers["Content-Type"], problem["type"]) == (500, "application/problem+json", "about:blank")
        assert len(there.runtime.released) == 1
        assert there.runtime.free() == [0]
        assert "cannot answer POST /v1/pull" in caplog.text


async def test_a_client_that_goes_while_it_sends_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as there:
        _reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
        writer.write(b"POST /v1/pull HTTP/1.1\r\nHost: here\r\nContent-Length: 50\r\n\r\n{")
        await writer.drain()
        await eventually(there.connections)
        await _leave(writer)
        await eventually(lambda: not there.connections())
        status, _, _ = await there.ask("POST", "/v1/pull", json={"wait_ms": 0})
        assert status == 204
        assert caplog.text == ""


# In the moment of delivery -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivered_first", [True, False])
@pytest.mark.parametrize("path", ["/v1/pull", "/v1/next"])
async def test_a_client_that_goes_in_the_very_turn_of_its_delivery_gets_nothing(
    path: str, delivered_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as there:
        _reader, writer = await _send(there, path)
        await eventually(there.runtime.pulls)
        (transport,) = there.transports()
        if delivered_first:
            there.runtime.offer(b"a")
        transport.abort()
        if not delivered_first:
            await asyncio.sleep(0)  # the loss of the connection has been told, the handler has not run since
            there.runtime.offer(b"a")
        await eventually(lambda: not there.connections())
        assert there.runtime.free() == [0]
        assert there.runtime.dispatcher.counters.expired == 0
        assert caplog.text == ""
        await _leave(writer)


async def test_a_client_that_goes_in_the_middle_of_its_settle_frees_its_place_at_once() -> None:
    async with serving(max_waiting=1) as there:
        settling = asyncio.Event()

        async def for_ever() -> None:
            settling.set()
            await asyncio.Event().wait()

        there.runtime.before_settled = for_ever
        _reader, writer = await _send(there, "/v1/pull", {"settle": {"ack": ["x"]}})
        await settling.wait()
        assert (await there.ask("POST", "/v1/pull", json={"wait_ms": 0}))[0] == 429
        await _leave(writer)
        await eventually(lambda: there.connections() == 1)
        assert (await there.ask("POST", "/v1/pull", json={"wait_ms": 0}))[0] == 204


# More than one request on a connection -------------------------------------------------------------------------------


async def test_requests_behind_a_pull_are_answered_after_it_and_in_turn() -> None:
    async with serving() as there:
        reader, writer = await _send(there, "/v1/pull")
        writer.write(_request("/v1/pull", {"max_messages": 2}) + _request("/healthz", method="GET"))
        await eventually(there.runtime.pulls)
        there.runtime.offer(b"a", b"b", b"c")
        offsets = []
        for _ in range(2):
            status, body = await _answer(reader)
            assert status == 200
            offsets.append([message["offset"] for message in json.loads(body)["messages"]])
        assert offsets == [[0], [1, 2]]
        assert await _answer(reader) == (200, b'{"healthy":true}')
        await _leave(writer)


async def test_a_connection_goes_on_after_an_empty_answer() -> None:
    async with serving() as there:
        reader, writer = await _send(there, "/v1/pull", {"wait_ms": 0})
        assert await _answer(reader) == (204, b"")
        writer.write(_request("/v1/next?wait_ms=0"))
        assert await _answer(reader) == (204, b"")
        there.runtime.offer(b"a")
        writer.write(_request("/v1/next"))
        assert await _answer(reader) == (200, b"a")
        assert there.connections() == 1
        await _leave(writer)


BEHIND = {
    "a few requests": _request("/healthz", method="GET") * 5,
    "more requests than are read in advance": _request("/healthz", method="GET") * 40,
    "a body that is larger than what is read in advance": _request("/v1/settle", {"ack": ["x" * (1 << 20)]}),
    "a part of such a body": _request("/v1/settle", {"ack": ["x" * (1 << 20)]})[: 600 << 10],
    "no HTTP": b"x" * 100_000,
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND.keys())
async def test_a_client_that_goes_is_noticed_whatever_it_has_sent_behind_its_pull(behind: bytes) -> None:
    async with serving() as there:
        _reader, writer = await _send(there, "/v1/pull")
        await eventually(there.runtime.pulls)
        writer.write(behind)
        await asyncio.sleep(0.05)  # no condition tells that nothing more is read
        await _leave(writer)
        await eventually(lambda: not there.runtime.pulls(), 3.0)
        await eventually(lambda: not there.connections())
        there.runtime.offer(b"a")
        assert there.runtime.dispatcher.counters.delivered == 0


async def test_no_message_goes_to_a_client_that_has_just_gone_with_requests_unread() -> None:
    async with serving() as there:
        _reader, writer = await _send(there, "/v1/pull")
        await eventually(there.runtime.pulls)
        writer.write(BEHIND["more requests than are read in advance"])
        (transport,) = there.transports()
        await eventually(lambda: not transport.is_reading())
        await _leave(writer)
        there.runtime.offer(b"a")
        await eventually(lambda: there.runtime.released, 0.5, every=0.01)
        assert there.runtime.free() == [0]


async def test_a_connection_that_is_not_read_from_for_a_while_is_kept() -> None:
    async with serving() as there:
        reader, writer = await _send(there, "/v1/pull")
        await eventually(there.runtime.pulls)
        writer.write(BEHIND["more requests than are read in advance"])
        await asyncio.sleep(1.3)  # at least one look
        there.runtime.offer(b"a")
        assert (await _answer(reader))[0] == 200
        for _ in range(40):
            assert await _answer(reader) == (200, b'{"healthy":true}')
        await _leave(writer)
