"""Answers that another worker has made: written as they are, confirmed when the client has them, else given back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp
import msgspec
import pytest

from fanout_app.cluster.frames import Confirm, Frame, GiveBack, Handed, Wish
from fanout_app.cluster.relayed import Relayed
from fanout_app.core.requests import Empty, Pull
from fanout_app.lease_keys import LeaseKeys
from fanout_app.web.rendering import Renderer
from fanout_app.web.tokens import TokenCodec
from support.eventually import eventually
from unit.web.fake_runtime import FakeRuntime
from unit.web.harness import serving

pytestmark = pytest.mark.usefixtures("heads")


class Elsewhere(FakeRuntime):
    """A worker whose every message is another one's."""

    name = "owner"

    def __init__(self) -> None:
        super().__init__()
        self.owner = FakeRuntime()
        self.render = Renderer(self.owner, TokenCodec(LeaseKeys([b"a key of the tests"]), self.id, self.topic))
        self.sent: list[Frame] = []

    def send(self, frame: Frame) -> None:
        self.sent.append(frame)

    def drop(self) -> None:
        raise AssertionError

    async def pull(
        self, pull: Pull, *, wait: float, anonymous: bool = False, wish: Wish | None = None
    ) -> Relayed | Empty:
        answer = await self.owner.pull(pull, wait=0.0, anonymous=anonymous)
        if isinstance(answer, Empty | Relayed):
            raise AssertionError(answer)
        rendered = self.render(answer, wish or Wish())
        return Relayed(self, Handed(7, len(answer), rendered.headers, rendered.body, 30.0))


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "json": ("/v1/pull", {"json": {"client": "ann", "max_messages": 2}}),
    "text": ("/v1/pull", {"json": {"client": "ann", "encoding": "utf8"}}),
    "msgpack": ("/v1/pull", {"json": {"client": "ann"}, "headers": {"Accept": "application/msgpack"}}),
    "settled": ("/v1/pull", {"json": {"client": "ann", "settle": {"ack": ["no token"]}}}),
    "settled in msgpack": (
        "/v1/pull",
        {"json": {"client": "ann", "settle": {"ack": ["x"]}}, "headers": {"Accept": "application/msgpack"}},
    ),
    "next": ("/v1/next", {"headers": {"Fanout-Client": "ann"}}),
}


async def _answered(runtime: FakeRuntime, request: str) -> tuple[int, dict[str, str], bytes]:
    path, how = REQUESTS[request]
    async with serving(runtime) as there, there.http.post(path, **how) as got:
        headers = {name: value for name, value in got.headers.items() if name not in ("Date", "Server")}
        return got.status, headers, await got.read()


@pytest.mark.parametrize("request_", REQUESTS)
async def test_it_is_the_answer_that_the_owner_itself_would_give(request_: str) -> None:
    here, elsewhere = FakeRuntime(), Elsewhere()
    for runtime in (here, elsewhere.owner):
        runtime.offer(b"caf\xc3\xa9", key=b"k", headers=[("h", b"v"), ("h", None)])
        runtime.offer(b"b")

    assert await _answered(elsewhere, request_) == await _answered(here, request_)


async def test_a_null_value_is_told_and_an_unnamed_client_gets_its_name() -> None:
    elsewhere = Elsewhere()
    elsewhere.owner.offer(None)
    async with serving(elsewhere) as there, there.http.post("/v1/next") as got:
        assert (got.status, got.headers["Fanout-Null"], await got.read()) == (200, "1", b"")
        assert got.headers["Fanout-Client"].startswith("anon-")


async def test_it_is_confirmed_when_it_is_written() -> None:
    elsewhere = Elsewhere()
    elsewhere.owner.offer(b"a")
    async with serving(elsewhere) as there:
        await there.pull()
        await eventually(lambda: elsewhere.sent == [Confirm(7)])


async def test_one_that_was_held_up_on_the_way_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Elsewhere()
    elsewhere.owner.offer(b"a")
    monkeypatch.setattr(Relayed, "good", False)
    async with serving(elsewhere) as there:
        status, headers, _ = await there.ask("POST", "/v1/pull", json={"client": "ann"})
    assert (status, headers["Fanout-Empty"], elsewhere.sent) == (204, "no-message", [GiveBack(7)])


async def test_it_is_given_back_when_its_client_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Elsewhere()
    elsewhere.owner.offer(b"a")
    for module in ("callers", "known", "handlers"):
        monkeypatch.setattr(f"fanout_app.web.{module}.is_open", lambda transport: False)
    async with serving(elsewhere) as there:
        with suppress(aiohttp.ServerDisconnectedError):
            await there.ask("POST", "/v1/pull", json={"client": "ann"})
    assert elsewhere.sent == [GiveBack(7)]


async def test_a_client_that_reads_too_slowly_is_held_for_and_given_back_when_it_goes() -> None:
    elsewhere = Elsewhere()
    elsewhere.owner.offer(b"x" * (12 << 20))
    async with serving(elsewhere) as there:
        body = msgspec.json.encode({"client": "slow", "max_bytes": 16 << 20})
        _reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
        writer.write(b"POST /v1/pull HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await eventually(lambda: len(elsewhere.sent) >= 2)
        writer.transport.abort()
        await eventually(lambda: elsewhere.sent[-1] == GiveBack(7))
    kinds = {type(frame).__name__ for frame in elsewhere.sent}
    assert kinds == {"Hold", "GiveBack"}
