"""Requests of every wrong kind: never a 500, never a change, and the connection or the next one goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unit.web.harness import DEADLINE, Served, serving

pytestmark = pytest.mark.usefixtures("heads")

BODIES = ("/v1/pull", "/v1/settle", "/v1/seek", "/v1/parked/redrive", "/v1/pause", "/v1/resume")
MSGPACK = {"Content-Type": "application/msgpack"}
DEEP = 100_000


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        _prepare(served)
        yield served


def _prepare(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    there.runtime.parked.put(0)


def _state(there: Served) -> object:
    """All that a request could change."""
    runtime = there.runtime
    return (
        runtime.dispatcher.counters, runtime.free(), runtime.pulls(), runtime.paused, list(runtime.settled),
        list(runtime.seeks), list(runtime.parked.redrives), list(runtime.parked.messages), len(runtime.released),
    )  # fmt: skip


async def _send(there: Served, raw: bytes) -> tuple[int, bytes]:
    """These very bytes; status and text of the first answer to them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
    try:
        async with asyncio.timeout(DEADLINE):
            writer.write(raw)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", answer)
            answer += await reader.readexactly(int(length[1])) if length else b""
    finally:
        writer.transport.abort()
    return int(answer.split(b" ", 2)[1]), answer


def _request(path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: here", "Connection: close", *headers]
    if not any(line.startswith("Transfer-Encoding") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


# Bodies that are wrong for every address -----------------------------------------------------------------------------

WRONG_JSON = {
    "no object": b"[]",
    "a number": b"5",
    "null": b"null",
    "a text": b'"pull"',
    "NaN": b'{"wait_ms": NaN}',
    "Infinity": b'{"to": Infinity}',
    "beyond all floats": b'{"to": 1e999, "wait_ms": -1e999}',
    "a huge number": b'{"to": ' + b"9" * 5000 + b"}",
    "nested arrays": b'{"ack": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "nested objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "never closed": b"[" * DEEP,
    "cut off": b'{"ack": ["a',
    "two of them": b"{}{}",
    "a comment": b'{/* none */"to": 5}',
    "single quotes": b"{'to': 5}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"to": 5}'.encode("utf-16"),
    "not UTF-8": b'{"client": "\xff\xfe"}',
    "half a surrogate": b'{"client": "\\ud800"}',
    "a raw control character": b'{"client": "a\x01b"}',
    "msgpack": msgspec.msgpack.encode({"to": 5}),
    "a form": b"client=a&wait_ms=0",
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", WRONG_JSON.values(), ids=WRONG_JSON.keys())
async def test_what_is_no_object_in_json_is_400(
    there: Served, path: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    before = _state(there)
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded", "", "/;;="):
        status, headers, problem = await there.ask("POST", path, data=body, headers={"Content-Type": content_type})
        assert (status, headers["Content-Type"]) == (400, "application/problem+json"), problem
        assert problem["errors"]
    assert _state(there) == before
    assert caplog.text == ""


def _ext(code: int, data: bytes) -> bytes:
    return b"\xc7" + bytes([len(data), code & 0xFF]) + data


def _map(*pairs: bytes) -> bytes:
    return bytes([0x80 + len(pairs) // 2]) + b"".join(pairs)


KEY = {name: msgspec.msgpack.encode(name) for name in ("client", "to", "wait_ms", "ack", "all")}
WRONG_MSGPACK = {
    "an extension": _ext(5, b"abc"),
    "an extension for a value": _map(KEY["to"], _ext(5, b"abc")),
    "an extension for a key": _map(_ext(5, b"abc"), b"\x01"),
    "a timestamp": _map(KEY["to"], b"\xd6\xff\x00\x00\x00\x00"),
    "a timestamp for a key": _map(b"\xd6\xff\x00\x00\x00\x00", b"\x01"),
    "a broken timestamp": _map(KEY["to"], _ext(-1, b"abc")),
    "a number for a key": _map(b"\x01", b"\x01"),
    "an array for a key": _map(b"\x91\x01", b"\x01"),
    "a map for a key": _map(b"\x80", b"\x01"),
    "nil for a key": _map(b"\xc0", b"\x01"),
    "bytes for a key": _map(b"\xc4\x06client", b"\xa1a"),
    "bytes for a text": _map(KEY["client"], b"\xc4\x01a"),
    "a text that is not UTF-8": _map(KEY["client"], b"\xa1\xff"),
    "a float that is no number": _map(KEY["to"], b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"),
    "the largest number": _map(KEY["to"], b"\xcf" + b"\xff" * 8, KEY["wait_ms"], b"\xcf" + b"\xff" * 8),
    "what is never used": b"\xc1",
    "cut off": b"\xdf\xff\xff\xff\xff",
    "an array that is cut off": _map(KEY["ack"], b"\xdd\xff\xff\xff\xff"),
    "a text that is cut off": _map(KEY["client"], b"\xdb\x7f\xff\xff\xffa"),
    "nested arrays": _map(KEY["ack"], b"\x91" * DEEP),
    "two of them": b"\x80\x80",
    "JSON": b"{}",
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", WRONG_MSGPACK.values(), ids=WRONG_MSGPACK.keys())
async def test_what_is_no_right_object_in_msgpack_is_400(
    there: Served, path: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    before = _state(there)
    status, headers, problem = await there.ask("POST", path, data=body, headers=MSGPACK)
    assert (status, headers["Content-Type"]) == (400, "application/problem+json"), problem
    assert problem["errors"]
    assert _state(there) == before
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("path", "wrong", "right"),
    [
        ("/v1/pull", b'{"wait_ms": "x", "wait_ms": 0}', b'{"wait_ms": 50000, "wait_ms": 0}'),
        ("/v1/seek", b'{"to": "x", "to": 5}', b'{"to": "earliest", "to": 5}'),
        ("/v1/parked/redrive", b'{"all": 1, "all": true}', b'{"all": false, "all": true}'),
        ("/v1/settle", b'{"ack": 1, "ack": []}', b'{"ack": ["x"], "ack": []}'),
    ],
)
async def test_of_a_field_given_twice_the_last_counts_and_each_is_looked_at(
    there: Served, path: str, wrong: bytes, right: bytes
) -> None:
    before = _state(there)
    assert (await there.ask("POST", path, data=wrong))[0] == 400
    assert _state(there) == before
    assert (await there.ask("POST", path, data=right))[0] == 200
    if path == "/v1/seek":
        assert there.runtime.seeks == [(None, 5, False)]
    if path == "/v1/settle":
        assert there.runtime.settled[-1].ack == []


# How bodies come -----------------------------------------------------------------------------------------------------


def _chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


CHUNKED = "Transfer-Encoding: chunked"
SEEK = b'{"to": 5}'


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (("Content-Length: 9",), SEEK, 200),
        ((CHUNKED,), b"4\r\n" + SEEK[:4] + b"\r\n5;x=y\r\n" + SEEK[4:] + b"\r\n0\r\nTrailer: x\r\n\r\n", 200),
        (("Content-Encoding: gzip",), gzip.compress(SEEK), 200),
        (("Content-Encoding: deflate",), zlib.compress(SEEK), 200),
        (("Content-Encoding: gzip", CHUNKED), _chunked(gzip.compress(SEEK)), 200),
        ((CHUNKED,), b"0\r\n\r\n", 400),  # no body: "to" is missing
        (("Content-Encoding: gzip",), gzip.compress(b""), 400),
        (("Content-Encoding: gzip",), gzip.compress(SEEK)[:14], 400),
        (("Content-Encoding: gzip",), gzip.compress(SEEK)[:12] + b"\x00" * 20, 400),
        (("Content-Encoding: gzip",), SEEK, 400),
        (("Content-Encoding: gzip",), gzip.compress(b" " * (5 << 20)), 413),
        (("Content-Encoding: miracles",), SEEK, 200),  # not understood, so read as it stands
        ((CHUNKED,), b"zz\r\n" + SEEK, 400),
        ((CHUNKED,), b"-9\r\n" + SEEK, 400),
        ((CHUNKED, "Content-Length: 9"), b"9\r\n" + SEEK + b"\r\n0\r\n\r\n", 400),
        (("Content-Length: 9", "Content-Length: 3"), SEEK, 400),
        (("Content-Length: +9",), SEEK, 400),
        (("Content-Length: 0x9",), SEEK, 400),
        (("Transfer-Encoding: gzip",), SEEK, 400),
        (("Content-Length: 99999999999",), b" " * (5 << 20), 413),
        (("Content-Type: application/msgpack; a=b", CHUNKED), b"5\r\n\x81\xa2to\x05\r\n0\r\n\r\n", 200),
        (("Content-Type: application/msgpack",), b"", 400),
    ],
)  # fmt: skip
async def test_a_body_is_read_whole_or_refused(
    there: Served, headers: tuple[str, ...], body: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    own = any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in headers)
    lines = headers if own else (*headers, f"Content-Length: {len(body)}")
    head = "\r\n".join(["POST /v1/seek HTTP/1.1", "Host: here", "Connection: close", *lines, "", ""]).encode()
    got, answer = await _send(there, head + body)
    assert got == status, answer
    assert there.runtime.seeks == ([(None, 5, False)] if status == 200 else [])
    assert caplog.text == ""


@pytest.mark.parametrize("body", [b"", b"{}"])
@pytest.mark.parametrize("path", ["/v1/pause", "/v1/settle", "/v1/pull?"])
async def test_no_body_and_an_empty_object_are_the_same(there: Served, path: str, body: bytes) -> None:
    assert (await _send(there, _request(path, body)))[0] == 200


# What stands in a path -----------------------------------------------------------------------------------------------

PARTS = (
    "%2F", "a%2Fb", "..%2F..%2Fhealthz", "%2e%2e", "%00", "%0d%0aX:%20y", "%FF%FE", "%ED%A0%80", "%", "%zz", "%C3%A9",
    "x" * 7000, "%F0%9F%92%A9", "~", "a+b", "{lease}", "%7Blease%7D", "*", ";a=b", "a;b",
)  # fmt: skip


@pytest.mark.parametrize("part", PARTS, ids=range(len(PARTS)))
@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/v1/leases/{}"),
        ("DELETE", "/v1/leases/{}"),
        ("POST", "/v1/leases/{}/nack"),
        ("POST", "/v1/leases/{}/extend"),
        ("POST", "/v1/leases/{}/reject"),
        ("DELETE", "/v1/clients/{}"),
    ],
)
async def test_no_path_is_more_than_unknown(
    there: Served, method: str, address: str, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = _state(there)
    status, answer = await _send(there, _request(address.format(part), b"", method=method))
    assert status in (400, 404, 405), answer
    assert b"application/problem+json" in answer
    # What is asked to settle a lease that nobody knows is asked, and told so; nothing comes of it.
    there.runtime.settled.clear()
    assert _state(there) == before
    assert caplog.text == ""


# Whatever comes ------------------------------------------------------------------------------------------------------

_quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_names = st.sampled_from(
    ["ack", "nack", "extend", "reject", "lease", "delay_ms", "client", "settle", "wait_ms", "to", "partition", "force",
     "timestamp_unix_ms", "parked", "all", "encoding", "max_messages", "x", ""]
)  # fmt: skip
_numbers = st.integers(-5, 5) | st.sampled_from([1 << 31, 1 << 63, (1 << 63) - 1, 1 << 64, -(1 << 63), 10**400])
_leaves = (
    st.none() | st.booleans() | _numbers | st.floats() | st.text(max_size=5) | st.sampled_from(["earliest", "utf8"])
)
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4), max_leaves=10
)
_bodies = st.dictionaries(_names, _values, max_size=4)


def _as_msgpack(body: object) -> bytes | None:
    try:
        return msgspec.msgpack.encode(body)
    except (OverflowError, UnicodeEncodeError):
        return None


async def _hold(there: Served, status: int, before: object, answer: object) -> None:
    """No fault of ours, and nothing done where it was refused."""
    assert status < 500 or status == 503, answer
    if status >= 400:
        assert _state(there) == before, answer


@_quick
@given(path=st.sampled_from(BODIES), body=_bodies, msgpack=st.booleans())
async def test_no_body_is_a_fault_of_ours(path: str, body: dict[str, Any], msgpack: bool) -> None:
    if isinstance(body.get("wait_ms", 1), int):
        body["wait_ms"] = 0
    raw = _as_msgpack(body) if msgpack else json.dumps(body).encode()
    if raw is None:
        return
    async with serving() as there:
        _prepare(there)
        seeks = len(there.runtime.seeks)
        before = _state(there)
        status, _, answer = await there.ask("POST", path, data=raw, headers=MSGPACK if msgpack else {})
        if status == 503:
            assert (path, len(there.runtime.seeks)) == ("/v1/seek", seeks + 1)
            there.runtime.seeks.clear()
        await _hold(there, status, before, answer)


@_quick
@given(
    path=st.sampled_from(["/v1/next", "/v1/leases", "/v1/parked", "/v1/leases/x/nack", "/v1/leases/x/extend"]),
    query=st.lists(
        st.tuples(
            st.sampled_from(["wait_ms", "limit", "after", "min_age_ms", "delay_ms", "ack_wait_ms", "client", "é", ""]),
            st.sampled_from(["", "0", "-1", "1e3", "0x1", "١", "1_0", " 1", "9" * 400, "NaN", "\x00", "é", "\ud800"]),
        ),
        max_size=3,
    ),
)
async def test_no_query_is_a_fault_of_ours(path: str, query: list[tuple[str, str]]) -> None:
    pairs = [f"{quote(name)}={quote(value, errors='surrogatepass')}" for name, value in query]
    text = "&".join([*pairs, "wait_ms=0"] if path == "/v1/next" else pairs)
    async with serving() as there:
        _prepare(there)
        before = _state(there)
        status, answer = await _send(
            there, _request(f"{path}?{text}", b"", method="GET" if path in ("/v1/leases", "/v1/parked") else "POST")
        )
        there.runtime.settled.clear()
        await _hold(there, status, before, answer)


@_quick
@given(raw=st.binary(max_size=80), method=st.sampled_from([b"POST", b"GET", b"DELETE", b"\xff"]))
async def test_no_bytes_are_a_fault_of_ours(raw: bytes, method: bytes) -> None:
    async with serving() as there:
        _prepare(there)
        before = _state(there)
        status, answer = await _send(
            there, method + b" /v1/" + raw + b" HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
        )
        await _hold(there, status, before, answer)


@pytest.mark.parametrize(
    "path", ["nack?reason=\udcff", "reject?reason=a\udc80", "nack?delay_ms=1&\udcff=1", "nack?\udcff"]
)
async def test_a_query_that_is_not_utf8_is_refused_and_changes_nothing(there: Served, path: str) -> None:
    """The reason goes on to other workers and into the headers of records, and none of these takes it."""
    (message,) = (await there.pull(max_messages=1))["messages"]
    assert await there.raw_status("POST", f"/v1/leases/{message['lease']}/{path}") == 400
    assert (await there.ask("GET", f"/v1/leases/{message['lease']}"))[2]["state"] == "live"
