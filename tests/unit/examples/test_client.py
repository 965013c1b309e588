"""The example client at workers that are gone, stop, or are in the middle of a move."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

import examples.client
from examples.client import Client

ROW = {"lease": "L1", "partition": 2, "offset": 5, "delivery_count": 1, "value": "text", "key": None, "headers": []}
BATCH = {"messages": [ROW], "batch": "B"}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples.client, "PAUSE", 0.0)


class Worker:
    """Gives these answers one after the other, the last one again and again."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, await request.json()))
        status, body = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return web.Response(status=status) if body is None else web.json_response(body, status=status)


Make = Callable[..., Awaitable[Client]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """A client of these workers; None is one that is gone."""
    servers: list[TestServer] = []
    async with aiohttp.ClientSession() as http:

        async def make(*workers: Worker | None, back_after: float = 60.0) -> Client:
            addresses = []
            for worker in workers:
                if worker is None:
                    addresses.append(f"http://127.0.0.1:{unused_port()}")
                    continue
                app = web.Application()
                app.router.add_post("/v1/{what}", worker.answer)
                servers.append(TestServer(app))
                await servers[-1].start_server()
                addresses.append(str(servers[-1].make_url("")).rstrip("/"))
            return Client(http, "a", addresses, back_after=back_after)

        yield make
        for server in servers:
            await server.close()


def problem(name: str) -> dict[str, str]:
    return {"type": f"urn:fanout:problem:{name}"}


async def test_a_worker_that_is_gone_or_stops_is_left_for_the_next(make: Make) -> None:
    stopping, well = Worker((503, problem("stopping"))), Worker((200, BATCH))
    client = await make(None, stopping, well)
    (message,) = await client.pull()
    assert (message.place, message.value, message.lease) == ((2, 5), "text", "L1")
    assert len(stopping.asked) == 1
    await client.pull()
    assert len(stopping.asked) == 1, "it stays where it was answered"


async def test_its_own_worker_is_tried_again_after_a_while(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(examples.client, "monotonic", lambda: now)
    own, other = Worker((503, problem("stopping")), (200, BATCH)), Worker((200, BATCH))
    client = await make(own, other, back_after=10.0)
    await client.pull()
    now = 110.0
    await client.pull()
    assert (len(own.asked), len(other.asked)) == (1, 2)
    now = 110.1
    await client.pull()
    assert (len(own.asked), len(other.asked)) == (2, 2)


async def test_while_a_partition_moves_it_asks_the_same_worker_again(make: Make) -> None:
    moving, other = Worker((503, problem("moving")), (200, BATCH)), Worker((200, BATCH))
    client = await make(moving, other)
    assert len(await client.pull()) == 1
    assert (len(moving.asked), len(other.asked)) == (2, 0)


async def test_nothing_came(make: Make) -> None:
    assert await (await make(Worker((204, None)))).pull() == []


async def test_an_ack_is_sent_until_it_counts(make: Make) -> None:
    retry = {"results": [{"lease": "L1", "status": "retry"}]}
    worker = Worker((200, BATCH), (200, retry), (200, {"results": [{"lease": "L1", "status": "late"}]}))
    client = await make(worker)
    messages = await client.pull()
    assert await client.ack(messages) == messages
    assert [path for path, _ in worker.asked] == ["/v1/pull", "/v1/settle", "/v1/settle"]


async def test_an_ack_that_cannot_count_is_not_counted(make: Make) -> None:
    worker = Worker((200, BATCH), (200, {"results": [{"lease": "L1", "status": "gone"}]}))
    client = await make(worker)
    assert await client.ack(await client.pull()) == []


async def test_a_fault_of_its_own_is_told(make: Make) -> None:
    client = await make(Worker((400, problem("invalid-field"))))
    with pytest.raises(ValueError, match=r"400.*invalid-field"):
        await client.pull()
