"""Pause, resume, seek and clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from fanout_app.core.errors import UnavailableError
from fanout_app.core.requests import Timestamp
from support.eventually import eventually
from unit.web.harness import Served, serving


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


# Pause and resume ----------------------------------------------------------------------------------------------------


async def test_pause_and_resume_can_be_said_twice(there: Served) -> None:
    for path, paused in (("pause", True), ("pause", True), ("resume", False), ("resume", False)):
        status, _, body = await there.ask("POST", f"/v1/{path}")
        assert (status, body) == (200, {"paused": paused})
        assert there.runtime.paused == paused


async def test_a_pull_that_came_to_nothing_while_paused_says_so(there: Served) -> None:
    await there.ask("POST", "/v1/pause", json={})
    there.runtime.offer(b"a")
    status, headers, _ = await there.ask("POST", "/v1/pull", json={"wait_ms": 0})
    assert (status, headers["Fanout-Empty"]) == (204, "paused")


@pytest.mark.parametrize("path", ["/v1/pause", "/v1/resume", "/v1/clients/ann"])
async def test_where_nothing_can_be_chosen_every_choice_is_refused(there: Served, path: str) -> None:
    method = "DELETE" if "clients" in path else "POST"
    there.runtime.paused = path == "/v1/resume"
    choices: list[dict[str, Any]] = [{"json": {"force": True, "x": 1}}, {"params": {"force": "1", "x": "1"}}]
    for how in choices:
        status, _, body = await there.ask(method, path, **how)
        assert status == 400
        assert sorted(fault["field"] for fault in body["errors"]) == ["force", "x"]
    assert there.runtime.paused == (path == "/v1/resume")


@pytest.mark.parametrize("path", ["/v1/pause", "/v1/resume", "/v1/seek", "/v1/parked/redrive"])
async def test_what_kafka_does_not_take_is_503(there: Served, path: str) -> None:
    async def down() -> None:
        raise UnavailableError("the change could not be written: ask again")

    there.runtime.kafka = there.runtime.parked.kafka = down
    bodies: dict[str, dict[str, Any]] = {"/v1/seek": {"to": 5}, "/v1/parked/redrive": {"all": True}}
    body = bodies.get(path, {})
    status, headers, problem = await there.ask("POST", path, json=body)
    assert (status, problem["type"]) == (503, "urn:fanout:problem:kafka-unreachable")
    assert problem["detail"] == "the change could not be written: ask again"
    assert headers["Retry-After"] == "1"
    assert there.runtime.paused is False


async def test_what_has_begun_goes_on_although_its_client_hangs_up(
    there: Served, caplog: pytest.LogCaptureFixture
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        asked.set()
        await go_on.wait()

    there.runtime.kafka = slow
    pausing = asyncio.create_task(there.ask("POST", "/v1/pause"))
    await asked.wait()
    pausing.cancel()
    await asyncio.gather(pausing, return_exceptions=True)
    await eventually(lambda: not there.connections())
    assert there.runtime.paused is False
    go_on.set()
    await eventually(lambda: there.runtime.paused)
    assert caplog.text == ""


async def test_that_it_failed_after_its_client_had_gone_is_logged(
    there: Served, caplog: pytest.LogCaptureFixture
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow_and_down() -> None:
        asked.set()
        await go_on.wait()
        raise UnavailableError("Kafka does not answer")

    there.runtime.kafka = slow_and_down
    seeking = asyncio.create_task(there.ask("POST", "/v1/seek", json={"to": 5}))
    await asked.wait()
    seeking.cancel()
    await asyncio.gather(seeking, return_exceptions=True)
    await eventually(lambda: not there.connections())
    go_on.set()
    await eventually(lambda: "seek failed after its client had gone: Kafka does not answer" in caplog.text)


async def test_what_is_under_way_ends_with_the_server() -> None:
    ended = asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving() as there:
        there.runtime.kafka = for_ever
        pausing = asyncio.create_task(there.ask("POST", "/v1/pause"))
        await eventually(there.connections)
        pausing.cancel()
        await asyncio.gather(pausing, return_exceptions=True)
    assert ended.is_set()


# Seek ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "seek"),
    [
        ({"to": "earliest"}, (None, "earliest", False)),
        ({"to": "latest", "partition": 0}, (0, "latest", False)),
        ({"to": 0, "force": True}, (None, 0, True)),
        ({"to": (1 << 63) - 1}, (None, (1 << 63) - 1, False)),
        ({"to": {"timestamp_unix_ms": 1_700_000_000_000}}, (None, Timestamp(1_700_000_000_000), False)),
    ],
)
async def test_a_seek_is_taken_by_its_word(there: Served, body: dict[str, Any], seek: object) -> None:
    assert (await there.ask("POST", "/v1/seek", json=body))[0] == 200
    packed = msgspec.msgpack.encode(body)
    assert (await there.ask("POST", "/v1/seek", data=packed, headers={"Content-Type": "application/msgpack"}))[0] == 200
    assert there.runtime.seeks == [seek, seek]
    assert [type(to) for _, to, _ in there.runtime.seeks] == [type(seek[1])] * 2  # type: ignore[index]


async def test_a_seek_answers_where_each_partition_stands(there: Served) -> None:
    _, _, body = await there.ask("POST", "/v1/seek", json={"to": 7})
    assert body == {"partitions": [{"partition": 0, "offset": 7}]}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (None, ["to"]),
        ({}, ["to"]),
        ({"to": "middle"}, ["to"]),
        ({"to": -1}, ["to"]),
        ({"to": 1 << 63}, ["to"]),
        ({"to": 1.5}, ["to"]),
        ({"to": "5"}, ["to"]),
        ({"to": None}, ["to"]),
        ({"to": True}, ["to"]),
        ({"to": ["earliest"]}, ["to"]),
        ({"to": {}}, ["to.timestamp_unix_ms"]),
        ({"to": {"timestamp_unix_ms": "now", "x": 1}}, ["to.timestamp_unix_ms", "to.x"]),
        (
            {"to": {"timestamp_unix_ms": -1}, "partition": -1, "force": 1},
            ["force", "partition", "to.timestamp_unix_ms"],
        ),
        ({"to": "earliest", "partition": 1 << 31}, ["partition"]),
        ({"to": "earliest", "partition": "0", "Force": True}, ["Force", "partition"]),
        (["earliest"], ["body"]),
    ],
)
async def test_every_fault_of_a_seek_is_named_and_nothing_moves(there: Served, body: Any, fields: list[str]) -> None:
    status, _, problem = await there.ask("POST", "/v1/seek", **({} if body is None else {"json": body}))
    assert status == 400
    assert sorted(fault["field"] for fault in problem["errors"]) == fields
    assert there.runtime.seeks == []


async def test_a_seek_of_a_partition_that_the_topic_does_not_have_is_a_fault(there: Served) -> None:
    status, _, problem = await there.ask("POST", "/v1/seek", json={"to": "earliest", "partition": 2})
    assert status == 400
    [fault] = problem["errors"]
    assert fault["field"] == "partition"
    assert fault["detail"].startswith("the topic has 2, numbered from 0")
    assert there.runtime.seeks == []


async def test_the_detail_lists_all_that_one_can_seek_to(there: Served) -> None:
    _, _, problem = await there.ask("POST", "/v1/seek", json={"to": "end"})
    assert problem["errors"][0]["detail"] == (
        "expected one of earliest, latest, or int, or an object with timestamp_unix_ms"
    )


async def test_a_seek_past_live_leases_is_refused_with_the_remedy(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    await there.pull()
    status, _, problem = await there.ask("POST", "/v1/seek", json={"to": "earliest"})
    assert (status, problem["type"]) == (409, "urn:fanout:problem:leases-live")
    assert problem["detail"].startswith("2 messages are held by clients: ")
    assert '"force":true' in problem["detail"]
    assert (await there.ask("POST", "/v1/seek", json={"to": "earliest", "force": True}))[0] == 200


async def test_a_seek_of_somebody_elses_partition_is_503(there: Served) -> None:
    status, headers, problem = await there.ask("POST", "/v1/seek", json={"to": 5, "partition": 1})
    assert (status, problem["type"]) == (503, "urn:fanout:problem:moving")
    assert problem["detail"] == "not this worker's partition: ask its owner"
    assert "Retry-After" in headers


# Clients that leave --------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_gives_its_messages_back_uncounted(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    await there.pull(client="ann")
    status, headers, body = await there.ask("DELETE", "/v1/clients/ann")
    assert (status, body) == (204, b"")
    assert "Content-Type" not in headers
    messages = (await there.pull(client="bob"))["messages"]
    assert [(message["offset"], message["delivery_count"]) for message in messages] == [(0, 1), (1, 1)]


async def test_the_waiting_pulls_of_a_client_that_leaves_end_at_once(there: Served) -> None:
    waiting = [
        asyncio.create_task(there.ask("POST", "/v1/pull", json={"client": name})) for name in ("ann", "ann", "bo")
    ]
    await eventually(lambda: there.runtime.pulls() == 3)
    assert (await there.ask("DELETE", "/v1/clients/ann"))[0] == 204
    for pull in waiting[:2]:
        assert (await pull)[0] == 204
    assert there.runtime.pulls() == 1
    there.runtime.stop()
    await waiting[2]


async def test_nobody_cannot_leave(there: Served) -> None:
    status, _, problem = await there.ask("DELETE", "/v1/clients/nobody")
    assert (status, problem["type"]) == (404, "urn:fanout:problem:not-found")


@pytest.mark.parametrize(
    "name", ["a/b", "a%2Fb", "50%", "a b", "?", "#", "é", "e\u0301", "..", ".", "%2e%2e", "{x}", "a;b"]
)
async def test_whatever_name_a_client_has_it_can_leave(there: Served, name: str) -> None:
    there.runtime.offer(b"a")
    await there.pull(client=name)
    # A dot segment is taken out of a path by whoever reads one, so dots are written as escapes.
    path = "/v1/clients/" + quote(name, safe="").replace(".", "%2E")
    status = await there.raw_status("DELETE", path)
    assert status == 204, path
    assert there.runtime.free() == [0]


@pytest.mark.parametrize("escaped", ["%00", "a%0Ab", "%7F", "%E2%80%8B", "x" * 201, "%C3%A9" * 201])
async def test_a_name_that_nobody_can_have_is_refused(there: Served, escaped: str) -> None:
    assert await there.raw_status("DELETE", f"/v1/clients/{escaped}") == 400
