"""Whatever goes wrong is a problem of one of the contract's kinds, and never a 500 for what a client sent."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fanout_app.web.problems import Fault, Kind, Problem, from_http_exception, invalid
from unit.web.harness import DEADLINE, Served, serving

pytestmark = pytest.mark.usefixtures("heads")

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


def _body(response: web.Response) -> dict[str, object]:
    assert isinstance(response.body, bytes)
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, object] = json.loads(response.body)
    assert body["status"] == response.status
    return body


def test_the_kinds_are_those_of_the_contract() -> None:
    listed = re.search(r"`urn:fanout:problem:` \+ one of `([^`]*)`", DOCS.read_text())
    assert listed
    assert {kind.type for kind in Kind} == {f"urn:fanout:problem:{end}" for end in listed[1].split(", ")}


@pytest.mark.parametrize("kind", Kind)
def test_a_problem_says_what_kind_it_is(kind: Kind) -> None:
    response = Problem(kind, "do this").response()
    body = _body(response)
    assert body == {"type": kind.type, "title": kind.title, "status": kind.status, "detail": "do this"}
    assert ("Retry-After" in response.headers) == (kind.status in (429, 503))


def test_every_fault_is_listed_and_the_first_ones_are_in_the_detail() -> None:
    body = _body(invalid([Fault(f"field{number}", "is wrong") for number in range(5)]).response())
    assert body["errors"] == [{"field": f"field{number}", "detail": "is wrong"} for number in range(5)]
    assert str(body["detail"]).startswith("field0: is wrong; field1: is wrong; field2: is wrong; and 2 more")


def test_what_is_no_text_does_not_spoil_a_problem() -> None:
    body = _body(invalid([Fault("\ud800", "\udfff")]).response())
    assert body["errors"] == [{"field": "?", "detail": "?"}]


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (web.HTTPBadRequest(), "urn:fanout:problem:invalid-field"),
        (web.HTTPNotFound(), "urn:fanout:problem:not-found"),
        (web.HTTPMethodNotAllowed("PUT", ["GET"]), "urn:fanout:problem:method"),
        (web.HTTPRequestEntityTooLarge(5), "urn:fanout:problem:too-large"),
        (web.HTTPUpgradeRequired(), "about:blank"),
    ],
)
def test_errors_of_the_library_take_our_form(error: web.HTTPException, end: str) -> None:
    assert _body(from_http_exception(error))["type"] == end


@pytest.mark.parametrize("error", [web.HTTPForbidden, web.HTTPConflict])
def test_the_headers_of_what_was_raised_are_sent_with_the_problem(error: type[web.HTTPException]) -> None:
    response = from_http_exception(error(text="not now", headers={"Fanout-Time": "1"}))
    assert _body(response)["detail"] == "not now"
    assert response.headers["Fanout-Time"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/pull", "POST"),
        ("PUT", "/v1/next", "POST"),
        ("DELETE", "/v1/settle", "POST"),
        ("GET", "/v1/leases/x/nack", "POST"),
        ("PATCH", "/v1/leases/x", "DELETE, GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PROPFIND", "/metrics", "GET, HEAD"),
        ("POST", "/v1/leases", "GET, HEAD"),
        ("GET", "/v1/clients/x", "DELETE"),
        ("GET", "/v1/parked/redrive", "POST"),
        ("GET", "/v1/pause", "POST"),
        ("GET", "/v1/resume", "POST"),
        ("GET", "/v1/seek", "POST"),
    ],
)
async def test_the_wrong_method_is_told_the_right_ones(there: Served, method: str, path: str, allow: str) -> None:
    status, headers, body = await there.ask(method, path)
    assert (status, headers["Allow"], body["type"]) == (405, allow, "urn:fanout:problem:method")


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/pull/", "/v2/pull", "/v1/worker", "/v1/canary/", "/%ff", "/a%0d%0aX:%20y", "/index.html"],
)
async def test_what_is_not_served_is_404(there: Served, path: str) -> None:
    for method in ("GET", "POST"):
        status, headers, body = await there.ask(method, path)
        assert (status, body["type"]) == (404, "urn:fanout:problem:not-found")
        assert headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 200),
        ("*/*", 200),
        ("application/json", 200),
        ("text/html, application/xhtml+xml, */*;q=0.8", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("*/*, application/json;q=0, application/msgpack;q=0", 406),
        ("application/json;q=0, application/msgpack;q=0, */*", 406),
        ("", 406),
        (";;q=,,", 406),
    ],
)
async def test_accept_is_looked_at(there: Served, accept: str | None, status: int) -> None:
    headers = {} if accept is None else {"Accept": accept}
    got, _, _ = await there.ask("POST", "/v1/settle", json={}, headers=headers)
    assert got == status


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("application/msgpack", "msgpack"),
        ("application/x-msgpack", "msgpack"),
        ("application/json;q=0.1, */*;q=0.9", "msgpack"),
        ("application/msgpack;q=0.1, */*;q=0.9", "json"),
        ("application/msgpack; q=0.5, application/json; q=0.4", "msgpack"),
        ("application/msgpack, application/json", "json"),
        ("APPLICATION/*", "json"),
        ("application/x-protobuf", "x-protobuf"),
        ("application/protobuf, application/json;q=0.9", "x-protobuf"),
        ("application/x-protobuf;q=0.5, */*;q=0.1", "x-protobuf"),
    ],
)
async def test_the_form_liked_best_is_served(there: Served, accept: str, form: str) -> None:
    _, headers, _ = await there.ask("POST", "/v1/settle", json={}, headers={"Accept": accept})
    assert headers["Content-Type"] == f"application/{form}"


async def _raw(there: Served, request: bytes, *, to_the_end: bool = False) -> tuple[int, dict[str, Any]]:
    """Exactly these bytes to the worker, for what no client library would send.

    With ``to_the_end`` the answer is what comes until the worker hangs up.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
    try:
        writer.write(request)
        async with asyncio.timeout(DEADLINE):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            assert length
            body = await (reader.read() if to_the_end else reader.readexactly(int(length[1])))
    finally:
        writer.close()
        await writer.wait_closed()
    assert b"Content-Type: application/problem+json\r\n" in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"Content-Length: 2\r\nContent-Encoding: gzip", b"{}"),
        (b"Content-Length: 20\r\nContent-Encoding: gzip", gzip.compress(b"{}" * 99)[:20]),
        (b"Content-Length: 2\r\nContent-Encoding: deflate", b"{}"),
        (b"Transfer-Encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n"),
        (b"Content-Length: 2\r\nExpect: miracles", b"{}"),
        (b"Content-Length: 2\r\nFanout-Client: \xff\xfe", b"{}"),
        (b"Content-Length: 2\r\nFanout-Client:", b"{}"),
        (b"Content-Length: 2\r\nContent-Type: application/msgpack", b"{}"),
    ],
)
async def test_broken_requests_are_the_clients_fault(
    there: Served, headers: bytes, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    there.runtime.offer(b"a")
    status, problem = await _raw(there, b"POST /v1/pull HTTP/1.1\r\nHost: here\r\n" + headers + b"\r\n\r\n" + body)
    assert 400 <= status < 500, problem
    assert there.runtime.free() == [0]
    assert caplog.text == ""


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"BREW /v1/pull HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: here\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST /v1/pull HTTP/1.1\r\nHost: here\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_told_so_and_hung_up_on(
    there: Served, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    status, problem = await _raw(there, request_, to_the_end=True)
    assert (status, problem["errors"][0]["field"]) == (400, "request")
    assert caplog.text == ""


async def test_a_body_announced_with_expect_is_asked_for(there: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
    writer.write(b"POST /v1/pull HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    # What went out so far is no part of an answer: even a fault of ours can still be told.
    there.runtime.offer(b"a", headers=[("\ud800", b"x")])
    writer.write(b"{}")
    assert (await reader.readline()).startswith(b"HTTP/1.1 500")
    writer.close()
    await writer.wait_closed()


async def test_a_compressed_body_is_read(there: Served) -> None:
    there.runtime.offer(b"a")
    headers = {"Content-Encoding": "gzip"}
    status, _, _ = await there.ask("POST", "/v1/pull", data=gzip.compress(b'{"client": "ann"}'), headers=headers)
    assert status == 200


async def test_a_body_that_unpacks_to_too_much_is_refused(there: Served) -> None:
    headers = {"Content-Encoding": "gzip"}
    status, _, body = await there.ask("POST", "/v1/pull", data=gzip.compress(b" " * (64 << 20)), headers=headers)
    assert (status, body["type"]) == (413, "urn:fanout:problem:too-large")
    assert "send fewer entries" in body["detail"]
