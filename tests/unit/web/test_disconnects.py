"""Clients that go away: what they were to be given is given to somebody else at once."""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamReader, StreamWriter

import pytest

from support.eventually import eventually
from unit.web.harness import FakeRuntime, Served, serving

LARGE = b"x" * (12 << 20)


async def _send(there: Served, path: str, body: dict[str, object] | None = None) -> tuple[StreamReader, StreamWriter]:
    """A request, and nobody who reads what is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
    raw = b"" if body is None else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nFanout-Client: gone\r\nContent-Length: {len(raw)}\r\n\r\n"
    writer.write(head.encode() + raw)
    await writer.drain()
    return reader, writer


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
