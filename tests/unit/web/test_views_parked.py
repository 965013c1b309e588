"""Parked messages: pages of them, and sending them back."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from unit.web.fake_parked import PARKED_UNIX_MS
from unit.web.harness import Served, serving


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


async def _page(there: Served, **query: Any) -> list[dict[str, Any]]:
    status, _, body = await there.ask("GET", "/v1/parked", params=query)
    assert status == 200, body
    messages: list[dict[str, Any]] = body["messages"]
    return messages


async def test_a_parked_message_is_shown_with_all_that_is_known_of_it(there: Served) -> None:
    there.runtime.parked.put(3, value=b"\x00\xff", headers=[("h", b"1"), ("h", None)])
    (message,) = await _page(there)
    assert message == {
        "parked": 3, "partition": 2, "offset": 73, "timestamp_unix_ms": PARKED_UNIX_MS - 5000,
        "parked_unix_ms": PARKED_UNIX_MS, "delivery_count": 3, "reason": "broken", "client": "ann",
        "key": b64encode(b"k").decode(), "value": b64encode(b"\x00\xff").decode(),
        "headers": [["h", b64encode(b"1").decode()], ["h", None]],
    }  # fmt: skip


async def test_whose_it_is_is_shown_with_broadcast_and_which_stay(there: Served) -> None:
    there.runtime.parked.put(3, group="canary")
    (message,) = await _page(there)
    assert message["group"] == "canary"
    there.runtime.parked.no_group = [3]
    _, _, body = await there.ask("POST", "/v1/parked/redrive", json={"all": True})
    assert body == {"redriven": 1, "not_found": [], "no_group": [3]}


async def test_text_is_shown_as_text_where_all_of_a_message_is(there: Served) -> None:
    there.runtime.parked.put(0, value="é".encode())
    there.runtime.parked.put(1, value=b"\xff", key=None)
    text, bytes_ = await _page(there, encoding="utf8")
    assert (text["key"], text["value"], "encoding" in text) == ("k", "é", False)
    assert (bytes_["key"], bytes_["value"], bytes_["encoding"]) == (None, b64encode(b"\xff").decode(), "base64")


async def test_msgpack_shows_the_bytes(there: Served) -> None:
    there.runtime.parked.put(0, value=b"\xff", key=b"")
    _, headers, raw = await there.ask("GET", "/v1/parked?encoding=utf8", headers={"Accept": "application/msgpack"})
    (message,) = msgspec.msgpack.decode(raw)["messages"]
    assert headers["Content-Type"] == "application/msgpack"
    assert (message["key"], message["value"]) == (b"", b"\xff")


async def test_pages_follow_one_another_until_an_empty_one(there: Served) -> None:
    for number in range(0, 90, 2):
        there.runtime.parked.put(number)
    seen: list[int] = []
    while page := await _page(there, limit=20, after=seen[-1] if seen else -1):
        assert len(page) <= 20
        seen += [message["parked"] for message in page]
    assert seen == list(range(0, 90, 2))


async def test_a_page_is_a_hundred_messages_unless_said_otherwise(there: Served) -> None:
    for number in range(101):
        there.runtime.parked.put(number)
    assert len(await _page(there)) == 100
    assert len(await _page(there, limit=1000)) == 101


async def test_a_page_ends_before_it_is_too_large_and_has_one_message_at_least(there: Served) -> None:
    for number in range(50):
        there.runtime.parked.put(number, value=b"x" * 99)  # and a key of one byte
    assert len(await _page(there, max_bytes=300)) == 3
    assert len(await _page(there, max_bytes=399)) == 3
    assert len(await _page(there, max_bytes=1)) == 1
    there.runtime.parked.steps.clear()
    await _page(there, max_bytes=300, limit=1000)
    assert sum(there.runtime.parked.steps) <= 16, "large messages are read although there is no room for them"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"after": "-2"}, "after"),
        ({"after": str(1 << 63)}, "after"),
        ({"max_bytes": "0"}, "max_bytes"),
        ({"encoding": "hex"}, "encoding"),
        ({"offset": "1"}, "offset"),
    ],
)
async def test_every_fault_of_the_query_is_named(there: Served, query: dict[str, str], field: str) -> None:
    status, _, problem = await there.ask("GET", "/v1/parked", params=query)
    assert status == 400
    assert [fault["field"] for fault in problem["errors"]] == [field]


async def test_a_redrive_tells_what_was_there_and_what_was_not(there: Served) -> None:
    for number in range(4):
        there.runtime.parked.put(number)
    _, _, body = await there.ask("POST", "/v1/parked/redrive", json={"parked": [1, 9, 3]})
    assert body == {"redriven": 2, "not_found": [9]}
    _, _, body = await there.ask("POST", "/v1/parked/redrive", json={"all": True})
    assert body == {"redriven": 2, "not_found": []}
    assert there.runtime.parked.redrives == [[1, 9, 3], None]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (None, ["parked"]),
        ({}, ["parked"]),
        ({"all": False}, ["parked"]),
        ({"parked": [1], "all": True}, ["parked"]),
        ({"parked": []}, ["parked"]),
        ({"parked": [1, -1, "2", None]}, ["parked[1]", "parked[2]", "parked[3]"]),
        ({"parked": [0] * 1001}, ["parked"]),
        ({"parked": 1, "all": "yes", "some": True}, ["all", "parked", "some"]),
    ],
)
async def test_a_redrive_that_is_not_clear_does_nothing(there: Served, body: Any, fields: list[str]) -> None:
    status, _, problem = await there.ask("POST", "/v1/parked/redrive", **({} if body is None else {"json": body}))
    assert status == 400
    assert sorted(fault["field"] for fault in problem["errors"]) == fields
    assert there.runtime.parked.redrives == []
