"""Requests whose heads are known: which are, and that nobody can tell them from others.

That all views answer them alike is shown by the tests of the views, which run with heads known and not (`heads`).
"""

from __future__ import annotations

import asyncio
import re
import zlib
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from fanout_app.identity import ANYONE, Identity, Role
from fanout_app.web.access import Gate
from fanout_app.web.callers import Caller
from fanout_app.web.known import Heads, KnownRequest
from support.eventually import eventually
from unit.web.harness import Served, serving
from unit.web.on_the_wire import PULL, answer, connected, request

SOME_PULL = make_mocked_request("POST", "/v1/pull")


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> list[KnownRequest]:
    """Those that were answered as known ones."""
    answered: list[KnownRequest] = []
    begin, answer_it = KnownRequest.begin, KnownRequest.answer

    def begun(self: KnownRequest) -> bool:
        if not begin(self):
            return False
        answered.append(self)
        return True

    async def noted(self: KnownRequest) -> Any:
        if self not in answered:
            answered.append(self)
        return await answer_it(self)

    monkeypatch.setattr(KnownRequest, "begin", begun)
    monkeypatch.setattr(KnownRequest, "answer", noted)
    return answered


@pytest.mark.parametrize(
    ("lines", "messages"),
    [((), 0), ((), 2), (("Accept: application/msgpack",), 2), (("Fanout-Client: bob",), 2), (("X-Id: 1",), 0)],
    ids=["empty", "json", "msgpack", "other client in the head", "other fields"],
)
async def test_the_second_answer_is_as_the_first_byte_for_byte(
    lines: tuple[str, ...], messages: int, met: list[KnownRequest]
) -> None:
    """But for its tokens, which are other ones."""
    async with serving() as there, connected(there.port) as (reader, writer):
        answers = []
        for _ in range(2):
            for _ in range(messages):
                there.runtime.offer(b"a")
            writer.write(request(PULL, *lines))
            answers.append(await answer(reader))
    (first, first_body), (second, second_body) = answers
    assert first == second
    assert len(first_body) == len(second_body)
    assert len(met) == 1


async def test_a_refusal_is_written_as_aiohttp_would(met: list[KnownRequest]) -> None:
    async with serving() as there, connected(there.port) as (reader, writer):
        answers = []
        wrong = PULL.replace(b'"ann"', b'""   ')
        for body in (PULL, wrong):
            writer.write(request(body, "X-Id: 1"))
            answers.append(await answer(reader))
        writer.write(request(wrong, "X-Id: 2"))
        assert await answer(reader) == answers[1]
    assert answers[1][0].startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json")
    assert len(met) == 1


async def test_a_fault_of_ours_is_one_problem_and_one_line_with_its_trace(
    met: list[KnownRequest], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as there, connected(there.port) as (reader, writer):
        writer.write(request())
        await answer(reader)

        async def fail() -> None:
            raise RuntimeError("for the test")

        there.runtime.offer(b"a")
        there.runtime.before_answer = fail
        writer.write(request())
        head, body = await answer(reader)
        there.runtime.before_answer = None
        there.runtime.offer(b"b")
        writer.write(request())
        assert (await answer(reader))[0].startswith(b"HTTP/1.1 200 OK")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"its log says why" in body
    assert [record.getMessage() for record in caplog.records] == ["cannot answer POST /v1/pull; please report this"]
    assert len(met) == 2


@pytest.mark.parametrize(
    "line",
    ["Connection: close", "Connection: keep-alive", "Expect: 100-continue", "Content-Encoding: deflate", "Upgrade: x"],
)
async def test_what_is_more_than_a_head_and_a_body_is_not_learnt(line: str, met: list[KnownRequest]) -> None:
    """A connection that ends with its request, a body that is something else than it seems, and so on."""
    async with serving() as there:
        for _ in range(3):
            async with connected(there.port) as (reader, writer):
                writer.write(request(PULL if "deflate" not in line else zlib.compress(PULL), line))
                assert (await answer(reader))[0].startswith((b"HTTP/1.1 204", b"HTTP/1.1 100"))
    assert met == []


@pytest.mark.parametrize(
    "again",
    [request(path="/v1/pull?hop=1"), request(method="PUT"), request(path="/v1/pull/"), request(path="/v1/next")],
    ids=["query", "method", "longer path", "other path"],
)
async def test_only_what_is_the_same_to_the_byte_is_known(again: bytes, met: list[KnownRequest]) -> None:
    async with serving() as there, connected(there.port) as (reader, writer):
        for one in (request(), again, again):
            writer.write(one)
            await answer(reader)
    assert met == []


async def test_who_is_not_let_in_teaches_nothing(met: list[KnownRequest]) -> None:
    async with serving(gate=Gate({})) as there, connected(there.port) as (reader, writer):
        for _ in range(3):
            writer.write(request(PULL, f"Authorization: Bearer {'0123456789' * 4}"))
            assert (await answer(reader))[0].startswith(b"HTTP/1.1 401")
    assert met == []


async def test_a_form_that_there_is_not_is_refused_each_time(met: list[KnownRequest]) -> None:
    async with serving() as there, connected(there.port) as (reader, writer):
        for _ in range(3):
            writer.write(request(PULL, "Accept: text/html"))
            assert (await answer(reader))[0].startswith(b"HTTP/1.1 406")
    assert met == []


async def test_what_one_client_asks_for_others_know_while_it_waits(met: list[KnownRequest]) -> None:
    waiting = request(b'{"client":"ann","wait_ms":9999}')
    async with serving() as there, connected(there.port) as (first, one), connected(there.port) as (second, other):
        one.write(waiting)
        await eventually(there.runtime.pulls)
        other.write(waiting.replace(b"ann", b"bob"))
        await eventually(lambda: there.runtime.pulls() == 2)
        assert len(met) == 1
        there.runtime.offer(b"a")
        there.runtime.offer(b"b")
        assert [(await answer(end))[0][:15] for end in (first, second)] == [b"HTTP/1.1 200 OK"] * 2


async def test_requests_in_one_segment_and_in_pieces_are_answered_in_turn(met: list[KnownRequest]) -> None:
    there_are = [b"%d" % number for number in range(5)]
    async with serving() as there, connected(there.port) as (reader, writer):
        writer.write(request())
        await answer(reader)
        for value in there_are:
            there.runtime.offer(value)
        one = request(b'{"client":"ann","wait_ms":0,"encoding":"utf8"}')
        writer.write(one + one + one[:60])
        got = [await answer(reader) for _ in range(2)]
        writer.write(one[60:90])
        await asyncio.sleep(0)
        writer.write(one[90:])
        got.append(await answer(reader))
        for _ in range(2):
            writer.write(one)
            got.append(await answer(reader))
    assert [re.search(rb'"value":"(\d)"', body)[1] for _, body in got] == there_are  # type: ignore[index]
    assert met == [], "its bytes were no single request: from then on nothing on this connection is known"


@asynccontextmanager
async def one_that_waits() -> AsyncIterator[tuple[Served, StreamReader, StreamWriter]]:
    """A connection on which a pull waits; its head is known, and that of `request()`."""
    waiting = request(b'{"client":"ann","wait_ms":9999}')
    async with serving() as there, connected(there.port) as (reader, writer):
        there.runtime.offer(b"a")
        for one in (waiting, request()):
            writer.write(one)
            await answer(reader)
        writer.write(waiting)
        await eventually(there.runtime.pulls)
        yield there, reader, writer


async def test_one_that_comes_while_another_waits_is_answered_after_it(met: list[KnownRequest]) -> None:
    async with one_that_waits() as (there, reader, writer):
        writer.write(request())
        await eventually(lambda: there.server.connections[0]._messages)
        there.runtime.offer(b"b")
        assert (await answer(reader))[0].startswith(b"HTTP/1.1 200")
        assert (await answer(reader))[0].startswith(b"HTTP/1.1 204")
    assert len(met) == 2


async def test_who_sends_more_and_more_behind_one_that_waits_is_read_no_further(met: list[KnownRequest]) -> None:
    async with one_that_waits() as (there, reader, writer):
        (connection,) = there.server.connections
        async with asyncio.timeout(10):
            while not connection._buffer_paused:
                writer.write(request())
                await asyncio.sleep(0.001)  # each in a segment of its own
        behind = len(connection._messages)
        assert behind == connection._max_msg_queue_size
        there.runtime.offer(b"b")
        assert [(await answer(reader))[0][9:12] for _ in range(1 + behind)] == [b"200", *[b"204"] * behind]


async def test_a_token_is_looked_at_each_time(met: list[KnownRequest]) -> None:
    token = "0123456789" * 4
    gate = Gate({sha256(token.encode()).digest(): Identity(roles=frozenset({Role.CONSUME}))})
    async with serving(gate=gate) as there, connected(there.port) as (reader, writer):
        mine = request(PULL, f"Authorization: Bearer {token}")
        for _ in range(2):
            writer.write(mine)
            assert (await answer(reader))[0].startswith(b"HTTP/1.1 204")
        gate.use({})
        writer.write(mine)
        assert (await answer(reader))[0].startswith(b"HTTP/1.1 401")
    assert len(met) == 2


def test_no_more_heads_are_kept_than_2048_and_the_first_are_forgotten() -> None:
    heads = Heads()
    heads.serve("/v1/pull", unasked, lambda given: ANYONE)
    for number in range(2100):
        learn(heads, number)
    assert heads.find(b"head 51\r\n\r\n") is None
    assert [heads.find(b"head %d\r\n\r\n" % number) is not None for number in (52, 2099)] == [True, True]


def test_no_head_is_kept_that_is_longer_than_2_kib() -> None:
    heads = Heads()
    heads.serve("/v1/pull", unasked, lambda given: ANYONE)
    for length in (2048, 2049):
        learn(heads, 1, length)
        assert (heads.find(b"head 1".ljust(length - 4) + b"\r\n\r\n") is not None) == (length == 2048)


@pytest.mark.parametrize(("length", "is_known"), [(10, True), (11, False)])
def test_no_head_is_kept_of_a_body_that_is_too_large(length: int, is_known: bool) -> None:
    heads = Heads()
    heads.serve("/v1/pull", unasked, lambda given: ANYONE)
    headers = {"Content-Length": str(length)}
    heads.learn(b"head\r\n\r\n", make_mocked_request("POST", "/v1/pull", headers, client_max_size=10))
    assert (heads.find(b"head\r\n\r\n" + b"x" * length) is not None) == is_known


def learn(heads: Heads, number: int, length: int = 0) -> None:
    heads.learn((b"head %d" % number).ljust(length - 4) + b"\r\n\r\n", SOME_PULL)


async def unasked(caller: Caller) -> None:
    """The view of a head that is looked up alone."""
