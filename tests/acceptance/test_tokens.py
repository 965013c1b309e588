"""A worker that asks for tokens: who has the right one works as ever, nobody else, also while tokens are rotated."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.clients import Client
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import READY_TOGETHER, Worker, Workers

LEASE_KEY = "lease-key-" + "x" * 32


class Tokens:
    """The file of tokens, and whoever sends one."""

    def __init__(self, path: Path, stack: AsyncExitStack) -> None:
        self.path = path
        self.secrets: set[str] = set()
        self._stack = stack

    def write(self, **roles: str) -> None:
        """One line for each of these tokens; whole or not at all, as the page asks for it."""
        self.put("".join(f"{self._hash(name)} {what}\n" for name, what in roles.items()))

    def put(self, text: str) -> None:
        beside = self.path.with_suffix(".new")
        beside.write_text(text)
        os.replace(beside, self.path)

    async def sender(self, name: str | None) -> aiohttp.ClientSession:
        headers = {"Authorization": f"Bearer {self.token(name)}"} if name else {}
        return await self._stack.enter_async_context(aiohttp.ClientSession(headers=headers))

    def token(self, name: str) -> str:
        token = f"{name}-token-of-at-least-32-characters"
        self.secrets |= {token, sha256(token.encode()).hexdigest()}
        return token

    def _hash(self, name: str) -> str:
        return sha256(self.token(name).encode()).hexdigest()


@pytest.fixture
async def tokens(tmp_path: Path) -> AsyncIterator[Tokens]:
    async with AsyncExitStack() as stack:
        yield Tokens(tmp_path / "tokens", stack)


def launch(workers: Workers, topic: str, tokens: Tokens, **options: Any) -> Worker:
    """It logs all it can."""
    key_file = tokens.path.with_name("keys")
    key_file.write_text(f"{LEASE_KEY}\n")
    return workers.launch(
        topic,
        environment={"FANOUT_VERBOSE": "1"},
        drain="0s",
        lease_key_file=str(key_file),
        tokens_file=str(tokens.path),
        **options,
    )


def assert_no_secret_is_in(text: str, tokens: Tokens) -> None:
    assert not [secret for secret in {*tokens.secrets, LEASE_KEY} if secret in text]


async def guarded_worker(workers: Workers, topic: str, tokens: Tokens) -> Worker:
    """It serves other machines too, which it does without tokens only if it is told to."""
    worker = launch(workers, topic, tokens, bind="0.0.0.0:0")
    (port,) = await eventually(
        lambda: re.findall(r"serving \S+ at http://0\.0\.0\.0:(\d+)", worker.text()), READY_TOGETHER
    )
    worker.url = f"http://127.0.0.1:{port}"
    return await worker.ready(READY_TOGETHER)


async def status(sender: aiohttp.ClientSession, worker: Worker, method: str, path: str) -> int:
    async with sender.request(method, worker.url + path) as response:
        await response.read()
        return response.status


async def answer(sender: aiohttp.ClientSession, worker: Worker, path: str) -> dict[str, Any]:
    async with sender.get(worker.url + path) as response:
        assert response.status == 200, await response.text()
        found: dict[str, Any] = await response.json()
        return found


async def test_operators_have_a_port_of_their_own_where_that_is_asked_for(
    kafka: Kafka, workers: Workers, session: aiohttp.ClientSession
) -> None:
    worker = await workers.start(await kafka.new_topic(1), admin_port="0", drain="0s")
    (operators,) = re.findall(r"serving those who run it at (http://127\.0\.0\.1:\d+)", worker.text())
    for url, pull, metrics in ((worker.url, 204, 404), (operators, 404, 200)):
        for method, path, code in (
            ("POST", "/v1/next?wait_ms=0", pull),
            ("GET", "/metrics", metrics),
            ("GET", "/v1/partitions", metrics),
            ("GET", "/readyz", 200),
        ):
            async with session.request(method, url + path) as response:
                assert response.status == code, (url, path)
    assert (await worker.terminate()).code == 0


async def test_whoever_has_the_right_token_works_as_ever_and_nobody_else(
    kafka: Kafka, workers: Workers, tokens: Tokens
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "first", "second", "third", "fourth", "fifth")
    tokens.write(orders="consume", prometheus="metrics", ops="admin name=ops", canary="consume group=canary")
    worker = await guarded_worker(workers, topic, tokens)
    nobody, stranger = await tokens.sender(None), await tokens.sender("stranger")
    orders, prometheus = await tokens.sender("orders"), await tokens.sender("prometheus")
    ops, canary = await tokens.sender("ops"), await tokens.sender("canary")

    for refused, code in ((nobody, 401), (stranger, 401), (prometheus, 403)):
        assert await status(refused, worker, "POST", "/v1/next?wait_ms=0") == code
        assert await status(refused, worker, "POST", "/v1/seek") == code
    for sender in (nobody, stranger, orders, ops):
        assert await status(sender, worker, "GET", "/internal/link") == 403
        assert await status(sender, worker, "GET", "/readyz") == 200
    assert await status(canary, worker, "POST", "/v1/next?wait_ms=0&group=stable") == 403
    assert await status(canary, worker, "POST", "/v1/next?wait_ms=0") == 204, "of its own group, which has no weight"
    assert await status(orders, worker, "GET", "/v1/status") == 403
    assert await status(prometheus, worker, "GET", "/metrics") == 200
    assert (await answer(prometheus, worker, "/v1/status"))["insecure"] is False

    one = Client(orders, worker, "one")
    first, second = await one.take(2)
    assert (first.value, second.value) == ("first", "second"), "nothing was handed out to those who were refused"
    assert (await one.ack(first.lease)).acked == 1
    assert await status(nobody, worker, "DELETE", f"/v1/leases/{second.lease}") == 401
    assert (await Client(canary, worker, "two").ack(second.lease)).acked == 1, "a lease is the right to settle it"
    assert await status(ops, worker, "POST", "/v1/pause") == 200
    assert await status(ops, worker, "POST", "/v1/resume") == 200

    # Rotated while it runs: both count, then the new one alone.
    fresh = await tokens.sender("renewed")
    tokens.write(orders="consume", renewed="consume")
    await eventually(lambda: "2 tokens, 1 of them as they were before, 3 taken out" in worker.text())
    assert (await one.pull()).values == ["third"]
    assert (await Client(fresh, worker, "two").pull()).values == ["fourth"]
    tokens.write(renewed="consume")
    await eventually(lambda: "1 tokens, 1 of them as they were before, 1 taken out" in worker.text())
    assert await status(orders, worker, "POST", "/v1/next?wait_ms=0") == 401
    assert await status(ops, worker, "POST", "/v1/pause") == 401

    # A file that cannot be used changes nothing.
    tokens.put(f"{tokens.token('renewed')} consume\n")
    await eventually(lambda: "line 1 does not begin with" in worker.text())
    assert (await Client(fresh, worker, "two").pull()).values == ["fifth"]

    assert (await worker.terminate()).code == 0
    text = worker.text()
    assert "POST /v1/pause is asked for by ops" in text
    assert "--insecure" not in text
    assert_no_secret_is_in(text, tokens)


async def test_a_token_is_checked_where_it_is_sent_and_goes_no_further(
    kafka: Kafka, workers: Workers, tokens: Tokens
) -> None:
    topic = await kafka.new_topic(1)
    tokens.write(orders="consume", prometheus="metrics")
    both = [launch(workers, topic, tokens) for _ in range(2)]
    for worker in both:
        await worker.ready(READY_TOGETHER)
    nobody, prometheus = await tokens.sender(None), await tokens.sender("prometheus")

    async def a_spare() -> Worker | None:
        """One that owns nothing, once somebody owns the partition."""
        names = [(await answer(prometheus, worker, "/v1/status"))["worker"] for worker in both]
        owners = [row["owner"] for row in (await answer(prometheus, both[0], "/v1/partitions"))["partitions"]]
        return both[names.index(owners[0]) - 1] if owners and owners[0] in names else None

    spare = await eventually(a_spare, READY_TOGETHER)
    assert spare is not None
    at_spare = Client(await tokens.sender("orders"), spare, "one")
    await kafka.produce(topic, "first")
    for method, path in (("POST", "/v1/next?wait_ms=0"), ("POST", "/v1/settle")):
        assert await status(nobody, spare, method, path) == 401
        assert await status(prometheus, spare, method, path) == 403
    first = (await at_spare.pull()).one
    assert first.value == "first"
    assert (await at_spare.ack(first.lease)).acked == 1
    for worker in both:
        assert_no_secret_is_in(worker.text(), tokens)
