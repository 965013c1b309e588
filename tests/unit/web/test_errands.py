"""Pulls that are answered without a task: the real runtime behind real views, and rows that are written when a test
says so.

That they are answered as all others is shown by the tests of the views, which run with heads known and not (`heads`).
"""

from __future__ import annotations

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from fanout_app.core.lease import Answer
from fanout_app.lease_keys import LeaseKeys
from fanout_app.ports import WriteError
from fanout_app.web.known import KnownRequest
from fanout_app.web.runner import ProblemRunner
from fanout_app.web.serving_limits import ServingLimits
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.views import install
from support.eventually import eventually
from support.messages import messages
from unit.fake_ports import FakeFetch, Held
from unit.scene import Scene
from unit.web.on_the_wire import answer, connected, request

Client = tuple[StreamReader, StreamWriter]
OK = b"HTTP/1.1 200 OK"


@pytest.fixture
def in_tasks(monkeypatch: pytest.MonkeyPatch) -> list[KnownRequest]:
    """The known requests that were answered in a task, at least in part."""
    seen: list[KnownRequest] = []
    answer_it = KnownRequest.answer

    async def noted(self: KnownRequest) -> Any:
        seen.append(self)
        return await answer_it(self)

    monkeypatch.setattr(KnownRequest, "answer", noted)
    return seen


class Desk:
    """A worker that listens."""

    def __init__(self, scene: Scene, runner: ProblemRunner) -> None:
        self.scene = scene
        self.runner = runner
        self.port = runner.addresses[0][1]

    @property
    def connection(self) -> Any:
        assert self.runner.server is not None
        (one,) = self.runner.server.connections
        return one

    async def deserted(self) -> None:
        """Wait until nobody is connected, as far as it has noticed."""
        server = self.runner.server
        assert server is not None
        await eventually(lambda: not server.connections, every=0.001)

    @property
    def delivered(self) -> int:
        return self.scene.runtime.dispatcher.counters.delivered

    def settled(self, offset: int) -> bool:
        return self.scene.runtime.dispatcher.partitions[0].ledger.is_settled(offset)


@asynccontextmanager
async def working(scene: Scene, **settings: Any) -> AsyncIterator[Desk]:
    """One whose heads, those of `riding` and `plain`, are known."""
    app = web.Application()
    codec = TokenCodec(LeaseKeys([b"a key of the tests"]), "a", "t")
    limits = settings.pop("limits", ServingLimits())
    install(app, scene.runtime, codec, render_metrics=lambda: (b"", ""), **settings)
    runner = ProblemRunner(app, limits, handler_cancellation=True, shutdown_timeout=5.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    desk = Desk(scene, runner)
    try:
        async with connected(desk.port) as client:
            for teach in (plain(), riding("x" * 44).replace(b"5000", b"0   ")):
                await ask(client, teach)
        await desk.deserted()
        yield desk
    finally:
        await runner.cleanup()


def plain() -> bytes:
    return request(b'{"client":"ann","wait_ms":0}')


def riding(token: str) -> bytes:
    """A pull that brings the ack of a batch; it waits for messages."""
    return request(b'{"client":"ann","wait_ms":5000,"settle":{"ack":["%s"]}}' % token.encode())


async def ask(client: Client, sent: bytes) -> tuple[bytes, Any]:
    client[1].write(sent)
    return await answered(client)


async def answered(client: Client) -> tuple[bytes, Any]:
    head, body = await answer(client[0])
    return head, json.loads(body) if body else None


async def handed(client: Client, desk: Desk, *offsets: int) -> str:
    """The token of the first of these new messages."""
    await desk.scene.arrive(*offsets)
    head, body = await ask(client, plain())
    assert head.startswith(OK)
    return str(body["batch"])


async def at_its_row(client: Client, desk: Desk, token: str) -> Held:
    """Send a pull that brings the ack of a batch; the row that it waits for, which is not written before it is said."""
    row = desk.scene.kafka.hold("write_row")
    client[1].write(riding(token))
    await row.reached()
    return row


async def written(row: Held) -> None:
    await row.reached()
    row.go_on()


async def test_the_answer_is_there_when_the_row_is_and_not_before(scene: Scene, in_tasks: list[KnownRequest]) -> None:
    async with working(scene) as desk, connected(desk.port) as client:
        token = await handed(client, desk, 0, 1)
        del in_tasks[:]
        row = await at_its_row(client, desk, token)
        assert desk.settled(0)
        assert desk.delivered == 1, "nothing more is handed out before its ack is in the changelog"
        row.go_on()
        head, body = await answered(client)
        assert head.startswith(OK)
        assert [one["offset"] for one in body["messages"]] == [1]
        assert body["settled"] == {"acked": 1, "nacked": 0, "extended": 0, "rejected": 0, "results": []}
    assert in_tasks == []


async def test_what_comes_behind_one_that_waits_for_its_row_is_answered_after_it(
    scene: Scene, in_tasks: list[KnownRequest]
) -> None:
    async with working(scene) as desk, connected(desk.port) as client:
        token = await handed(client, desk, 0, 1, 2)
        del in_tasks[:]
        row = await at_its_row(client, desk, token)
        client[1].write(plain())
        await eventually(lambda: desk.connection._messages, every=0.001)
        row.go_on()
        assert [(await answered(client))[1]["messages"][0]["offset"] for _ in range(2)] == [1, 2]
    assert len(in_tasks) == 2


async def test_nothing_is_handed_to_who_hangs_up_while_the_row_is_written(scene: Scene) -> None:
    async with working(scene, max_waiting=1) as desk:
        async with connected(desk.port) as client:
            token = await handed(client, desk, 0, 1)
            row = await at_its_row(client, desk, token)
            client[1].transport.abort()
            await desk.deserted()
        assert not scene.runtime.commit._lines[0].waiters
        row.go_on()
        async with connected(desk.port) as client:
            head, body = await ask(client, plain())
        assert head.startswith(OK), "its place among those that may wait is free again"
        assert body["messages"][0]["offset"] == 1
        assert desk.delivered == 2


async def test_who_hangs_up_with_more_requests_behind_frees_its_place_all_the_same(scene: Scene) -> None:
    async with working(scene, max_waiting=1) as desk:
        async with connected(desk.port) as client:
            token = await handed(client, desk, 0, 1)
            row = await at_its_row(client, desk, token)
            connection = desk.connection
            # In one turn of the loop: it is to go on in a task, which never begins.
            connection.data_received(plain())
            connection.transport.abort()
            await desk.deserted()
        row.go_on()
        async with connected(desk.port) as client:
            assert (await ask(client, plain()))[0].startswith(OK)


async def test_it_counts_among_the_pulls_that_wait(scene: Scene) -> None:
    async with working(scene, max_waiting=1) as desk, connected(desk.port) as client, connected(desk.port) as other:
        token = await handed(client, desk, 0, 1)
        row = await at_its_row(client, desk, token)
        assert (await ask(other, plain()))[0].startswith(b"HTTP/1.1 429")
        row.go_on()
        assert (await answered(client))[0].startswith(OK)
        assert (await ask(other, plain()))[0].startswith(b"HTTP/1.1 204")


@pytest.mark.usefixtures("impatient")
async def test_where_no_row_is_written_in_time_it_is_told_to_send_its_ack_again(scene: Scene) -> None:
    async with working(scene) as desk, connected(desk.port) as client:
        token = await handed(client, desk, 0, 1)
        scene.kafka.fail("write_row", *[WriteError("for the test")] * 5)
        _, body = await ask(client, riding(token))
        assert body["settled"]["acked"] == 0
        assert body["settled"]["results"] == [{"lease": token, "status": "retry"}]
        assert body["messages"][0]["offset"] == 1


async def test_a_partition_that_is_lost_meanwhile_leaves_its_ack_unknown(scene: Scene) -> None:
    async with working(scene) as desk, connected(desk.port) as client:
        token = await handed(client, desk, 0)
        row = await at_its_row(client, desk, token)
        scene.rebalance(1)
        row.go_on()
        await scene.runtime.start({1})
        await scene.arrive(0, number=1)
        _, body = await answered(client)
        assert body["settled"]["results"] == [{"lease": token, "status": "retry"}]
        assert [one["partition"] for one in body["messages"]] == [1]


async def test_one_that_finds_nothing_waits_as_all_do(scene: Scene, in_tasks: list[KnownRequest]) -> None:
    async with working(scene) as desk, connected(desk.port) as client:
        token = await handed(client, desk, 0)
        del in_tasks[:]
        client[1].write(riding(token))
        await eventually(scene.runtime.exchange.asking.waiting, every=0.001)
        await scene.arrive(1)
        _, body = await answered(client)
        assert body["messages"][0]["offset"] == 1
        assert body["settled"]["acked"] == 1
    assert len(in_tasks) == 1


async def test_while_a_rebalance_is_under_way_it_waits_for_its_end(scene: Scene) -> None:
    async with working(scene) as desk, connected(desk.port) as client:
        token = await handed(client, desk, 0, 1)
        scene.rebalance(0, 1)
        client[1].write(riding(token))
        await eventually(lambda: desk.connection._current_request, every=0.001)
        assert not desk.settled(0)
        await scene.runtime.start({0, 1})
        _, body = await answered(client)
        assert body["settled"]["acked"] == 1
        assert body["messages"][0]["offset"] == 1


async def test_a_fault_of_ours_is_one_problem_and_takes_nothing_with_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(answer: Answer, *args: object, **kwargs: object) -> None:
        raise RuntimeError("for the test")

    async with working(scene) as desk, connected(desk.port) as client:
        token = await handed(client, desk, 0, 1)
        with monkeypatch.context() as broken:
            broken.setattr("fanout_app.web.answers.Answers.pulled", lambda self, *args, **kwargs: fail(*args))
            head, _ = await ask(client, riding(token))
        assert head.startswith(b"HTTP/1.1 500 ")
        head, body = await ask(client, plain())
        assert body["messages"][0]["offset"] == 1, "what could not be written is for the next one"
        assert body["messages"][0]["delivery_count"] == 1
    assert [record.getMessage() for record in caplog.records] == ["cannot answer POST /v1/pull; please report this"]


async def test_a_worker_that_stops_answers_it_and_says_that_the_connection_ends(scene: Scene) -> None:
    async with working(scene) as desk, connected(desk.port) as client:
        token = await handed(client, desk, 0, 1)
        row = await at_its_row(client, desk, token)
        scene.runtime.stop_begins()
        stopping = asyncio.create_task(desk.runner.cleanup())
        await eventually(lambda: desk.connection._close, every=0.001)
        row.go_on()
        head, body = await answered(client)
        assert b"Connection: close" in head
        assert body["settled"]["acked"] == 1
        await stopping
        assert await client[0].read() == b""


async def test_a_connection_is_not_idle_while_a_row_is_written_and_is_afterwards(scene: Scene) -> None:
    async with working(scene, limits=ServingLimits(idle_timeout=0.05)) as desk, connected(desk.port) as client:
        token = await handed(client, desk, 0, 1)
        row = await at_its_row(client, desk, token)
        connection = desk.connection
        # Its time as an idle one is up.
        await eventually(lambda: connection._prompt is None or connection._prompt.in_task, every=0.001)
        assert connection.transport is not None
        row.go_on()
        assert (await answered(client))[1]["messages"][0]["offset"] == 1
        async with asyncio.timeout(5):
            assert await client[0].read() == b"", "nothing is asked on it: it is closed"


async def test_a_connection_on_which_nothing_was_asked_in_a_task_is_idle_from_its_last_answer_on(
    scene: Scene, in_tasks: list[KnownRequest]
) -> None:
    async with working(scene, limits=ServingLimits(idle_timeout=0.2)) as desk, connected(desk.port) as client:
        await eventually(lambda: desk.connection._waiter is not None, every=0.001)
        closes = desk.connection._next_keepalive_close_time
        await handed(client, desk, 0)
        assert desk.connection._next_keepalive_close_time > closes
        async with asyncio.timeout(5):
            assert await client[0].read() == b""
    assert len(in_tasks) == 0


async def test_a_fault_of_ours_before_anything_is_waited_for_is_told_as_well(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("for the test")

    async with working(scene) as desk, connected(desk.port) as client:
        token = await handed(client, desk, 0, 1)
        with monkeypatch.context() as broken:
            broken.setattr("fanout_app.core.settling.Settling.run", fail)
            head, _ = await ask(client, riding(token))
        assert head.startswith(b"HTTP/1.1 500 ")
        head, body = await ask(client, riding(token))
        assert body["settled"]["acked"] == 1
    assert [record.getMessage() for record in caplog.records] == ["cannot answer POST /v1/pull; please report this"]


def named(name: str, repeat: bool = False) -> bytes:
    """One whose answer can be asked for again."""
    again = b',"repeat":true' if repeat else b""
    return request(b'{"client":"ann","wait_ms":0,"receive_id":"%s"%s}' % (name.encode(), again))


@pytest.mark.parametrize("repeat", [False, True], ids=["without a word", "as a repeat"])
async def test_an_answer_that_was_lost_is_given_once_more(scene: Scene, repeat: bool) -> None:
    async with working(scene) as desk:
        await scene.arrive(0, 1)
        async with connected(desk.port) as client:
            _, first = await ask(client, named("once"))
        async with connected(desk.port) as client:
            _, second = await ask(client, named("once", repeat))
            _, other = await ask(client, named("twice", repeat))
        assert second == first
        assert other["messages"][0]["offset"] == 1
        assert desk.delivered == 2


async def test_of_an_answer_that_is_given_once_more_what_is_settled_is_left_out(scene: Scene) -> None:
    async with working(scene) as desk, connected(desk.port) as client:
        await scene.arrive(0, 1, 2)
        asked = request(b'{"client":"ann","wait_ms":0,"max_messages":3,"receive_id":"once"}')
        _, first = await ask(client, asked)
        done = first["messages"][1]["lease"].encode()
        await ask(client, request(b'{"ack":["%s"]}' % done, path="/v1/settle"))
        _, second = await ask(client, asked)
        assert [message["offset"] for message in second["messages"]] == [0, 2]
        assert second["batch"] == first["batch"]
        _, settled = await ask(client, request(b'{"ack":["%s"]}' % second["batch"].encode(), path="/v1/settle"))
        assert settled["acked"] == 2


async def test_what_was_given_once_more_is_not_taken_back_with_the_first_attempt(scene: Scene) -> None:
    large = FakeFetch(0, 0, 1, list(messages((0,), size=32 << 20)))
    async with working(scene) as desk:
        await scene.runtime.take(large)
        async with connected(desk.port) as slow:
            slow[1].write(named("once"))
            await eventually(lambda: desk.delivered, every=0.001)
            connection = desk.connection
            async with connected(desk.port) as client:
                _, body = await ask(client, named("once", repeat=True))
            assert body["messages"][0]["offset"] == 0
            connection.transport.abort()
        await desk.deserted()
        assert len(scene.runtime.dispatcher.partitions[0].in_flight) == 1
        assert scene.runtime.dispatcher.counters.released == 0
