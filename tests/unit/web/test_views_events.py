"""The stream of events: what is in it, who may have one, and how it ends."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fanout_app.core.following import Leader
from fanout_app.lease_keys import LeaseKeys
from fanout_app.web import onlookers, views_events
from fanout_app.web.runner import ProblemRunner
from fanout_app.web.serving_limits import ServingLimits
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.views import install
from support.eventually import eventually
from unit.web.fake_runtime import FakeRuntime
from unit.web.harness import DEADLINE, Served, serving
from unit.web.on_the_wire import request

#: Seconds that a handler is waited for at the end.
LONG = 6 * DEADLINE


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onlookers, "EVERY", 0.01)


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


async def event(got: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next one."""
    lines = (await got.content.readuntil(b"\n\n")).decode().splitlines()
    assert lines[0] == "event: state"
    assert lines[1].startswith("data: ")
    assert lines[2:] == [""]
    state: dict[str, Any] = json.loads(lines[1].removeprefix("data: "))
    return state


def shows() -> int:
    return sum(task.get_name() == "show" for task in asyncio.all_tasks())


async def test_an_event_holds_what_the_views_for_each_part_answer(there: Served) -> None:
    runtime = there.runtime
    runtime.leading.led_by, runtime.leading.epoch = Leader(worker="worker-0", address="http://x:1", epoch=12), 12
    runtime.offer(b"a", b"b", b"c")
    leases = [message["lease"] for message in (await there.pull(client="<b>ann</b>"))["messages"]]
    runtime.after(0.25)
    await there.settle(ack=leases[:1], nack=[{"lease": leases[1], "delay_ms": 60_000}])
    async with there.http.get("/v1/events") as got:
        assert (got.status, got.headers["Content-Type"]) == (200, "text/event-stream")
        assert got.headers["Cache-Control"] == "no-store"
        state = await event(got)
    assert state["delivery"] == "balance"
    assert state["status"] == (await there.ask("GET", "/v1/status"))[2]
    assert state["leader"] == (await there.ask("GET", "/v1/leader"))[2]
    assert state["leader"]["worker"] == "worker-0"
    assert {"workers": state["workers"]} == (await there.ask("GET", "/v1/workers"))[2]
    assert {"partitions": state["partitions"]} == (await there.ask("GET", "/v1/partitions"))[2]
    assert {"clients": state["clients"]} == (await there.ask("GET", "/v1/clients"))[2]
    assert state["clients"][0]["client"] == "<b>ann</b>"
    _, headers, canary = await there.ask("GET", "/v1/canary")
    assert state["canary"] == {**canary, "etag": headers["Etag"]}
    counted = state["counted"]["worker-1"]
    assert (counted["delivered"], counted["acked"], counted["nacked"], counted["rejected"]) == (3, 1, 1, 0)
    # As docs/api.md has them. `late` is within `acked` besides.
    assert counted.keys() == {
        "delivered", "redelivered", "acked", "late", "nacked", "rejected", "expired", "released", "dead_lettered",
        "lost_to_retention",
    }  # fmt: skip
    assert state["ack_p50_ms"] == pytest.approx(250, rel=0.06)
    assert (state["at_seconds"], state["at_unix_ms"]) == (runtime.clock, runtime.unix_ms(runtime.clock))


async def test_what_happens_is_in_the_next_one(there: Served) -> None:
    async with there.http.get("/v1/events") as got:
        assert (await event(got))["counted"]["worker-1"]["delivered"] == 0
        there.runtime.offer(b"a")
        await there.pull()

        async def told() -> bool:
            return bool((await event(got))["counted"]["worker-1"]["delivered"] == 1)

        await eventually(told, every=0)


async def test_no_more_clients_are_shown_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_events, "MOST_CLIENTS", 2)
    async with serving() as there:
        there.runtime.offer(*[b"%d" % number for number in range(4)])
        for name, count in (("one", 1), ("none", 1), ("two", 2)):
            leases = [message["lease"] for message in (await there.pull(client=name, max_messages=count))["messages"]]
            if name == "none":
                await there.settle(ack=leases)
        async with there.http.get("/v1/events") as got:
            state = await event(got)
    assert [client["client"] for client in state["clients"]] == ["two", "one"]


async def test_where_each_group_gets_everything_that_is_said() -> None:
    async with serving(broadcast=True) as there, there.http.get("/v1/events") as got:
        assert (await event(got))["delivery"] == "broadcast"


async def test_there_are_no_more_streams_than_may_be() -> None:
    async with serving(max_streams=2) as there, there.http.get("/v1/events") as first:
        async with there.http.get("/v1/events") as second:
            await event(second)
            status, headers, problem = await there.ask("GET", "/v1/events")
            assert (status, problem["type"]) == (429, "urn:fanout:problem:too-many-waiting")
            assert headers["Retry-After"] == "1"
            second.close()

        async def let_in() -> bool:
            async with there.http.get("/v1/events") as third:
                return third.status == 200

        await eventually(let_in, DEADLINE)
        await event(first)


async def test_who_goes_is_noticed_and_nothing_is_made_any_more(there: Served) -> None:
    async with there.http.get("/v1/events") as got:
        await event(got)
        assert shows() == 1
        got.close()
    await eventually(lambda: shows() == 0, DEADLINE)


async def test_only_to_ask_for_its_head_opens_none(there: Served) -> None:
    status, headers, body = await there.ask("HEAD", "/v1/events")
    assert (status, headers["Content-Type"], body) == (200, "text/event-stream", b"")
    assert shows() == 0


# The end -------------------------------------------------------------------------------------------------------------


async def test_once_the_worker_stops_a_stream_ends_and_none_begins(there: Served) -> None:
    async with there.http.get("/v1/events") as got:
        await event(got)
        there.runtime.stopping = True
        async with asyncio.timeout(DEADLINE):
            await got.content.read()
    status, _, problem = await there.ask("GET", "/v1/events")
    assert (status, problem["type"]) == (503, "urn:fanout:problem:stopping")


@pytest.mark.parametrize("apart", [False, True], ids=["one port", "an admin port"])
async def test_the_end_of_the_server_does_not_wait_for_streams(monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    monkeypatch.setattr(onlookers, "EVERY", LONG)
    runtime, app, operators = FakeRuntime(), web.Application(), web.Application() if apart else None
    codec = TokenCodec(LeaseKeys([b"k"]), runtime.id, runtime.topic)
    install(app, runtime, codec, render_metrics=lambda: (b"", ""), operators=operators)
    runner = ProblemRunner(operators or app, ServingLimits(), handler_cancellation=True, shutdown_timeout=LONG)
    runner.allow(10)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    async with aiohttp.ClientSession(f"http://{host}:{port}") as http, http.get("/v1/events") as got:
        await event(got)
        async with asyncio.timeout(DEADLINE):
            await runner.cleanup()
            # Whole: it has not been cut off.
            assert await got.content.read() == b""


# Slow clients --------------------------------------------------------------------------------------------------------


async def test_a_stream_lasts_longer_than_what_a_connection_may_be_idle_and_a_request_may_take() -> None:
    limits = ServingLimits(request_timeout=0.05, answer_timeout=0.05, idle_timeout=0.05)
    async with serving(limits=limits) as there, there.http.get("/v1/events") as got:
        ends = asyncio.get_running_loop().time() + 0.5
        while asyncio.get_running_loop().time() < ends:
            await event(got)


class Lazy:
    """A client that takes nothing of its answer, which is long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        monkeypatch.setattr(onlookers, "EVERY", 0.0)
        monkeypatch.setattr(views_events.EventViews, "_event", self._event)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def ask(self, port: int) -> None:
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(request(b"", path="/v1/events", method="GET"))

    async def _event(self, *_: Any) -> bytes:
        self.made += 1
        return b"event: state\ndata: {}\n\n".ljust(1 << 16, b"\n")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
async def lazy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Served, Lazy]]:
    lazy = Lazy(monkeypatch)
    async with serving(limits=ServingLimits(answer_timeout=1.0)) as there:
        lazy.ask(there.port)
        yield there, lazy
        lazy.close()


async def test_nothing_is_kept_for_who_does_not_read_and_then_he_is_hung_up_on(lazy: tuple[Served, Lazy]) -> None:
    there, client = lazy
    await eventually(lambda: there.transports() and there.transports()[0].get_write_buffer_size(), DEADLINE)
    before = client.made
    # 30 MiB; what is kept is one event and what the server gathers before it waits.
    await eventually(lambda: client.made > before + 500 or not there.transports(), DEADLINE, every=0)
    assert there.transports(), "was hung up on before anything could be seen"
    assert there.transports()[0].get_write_buffer_size() < 4 << 16
    await eventually(lambda: not there.transports(), DEADLINE)
    await eventually(lambda: shows() == 0, DEADLINE)
