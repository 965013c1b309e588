"""Who may ask for what: by role on each route of the page, by group in a pull, and refused before anything is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest

from fanout_app.identity import Identity, Role
from fanout_app.tokens_file import Known
from fanout_app.web.access import Gate
from support.eventually import eventually
from unit.web.contract_page import routes
from unit.web.harness import DEADLINE, Served, serving

pytestmark = pytest.mark.usefixtures("heads")


def token(name: str) -> str:
    return f"{name}-token-of-at-least-32-characters"


def known(**identities: Identity) -> Known:
    return {sha256(token(name).encode()).digest(): identity for name, identity in identities.items()}


def of(*roles: Role, group: str | None = None, name: str = "") -> Identity:
    return Identity(roles=frozenset(roles), group=group, name=name)


KNOWN = known(
    consume=of(Role.CONSUME),
    metrics=of(Role.METRICS),
    both=of(Role.CONSUME, Role.METRICS),
    admin=of(Role.ADMIN, name="ops"),
    canary=of(Role.CONSUME, group="canary"),
)


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving(gate=Gate(KNOWN)) as served:
        yield served


def bearing(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(name)}"}


async def status(there: Served, method: str, path: str, headers: dict[str, str], **how: Any) -> int:
    return (await there.ask(method, path, headers=headers, **how))[0]


# By role -------------------------------------------------------------------------------------------------------------

LET_IN = {
    "consume": {"consume", "both", "admin", "canary"},
    "metrics": {"metrics", "both", "admin"},
    "admin": {"admin"},
}


@pytest.mark.parametrize(("method", "address", "role"), routes())
async def test_each_address_asks_for_the_role_that_the_page_says(
    there: Served, method: str, address: str, role: str
) -> None:
    # Whoever is let in has made a mistake, so that nothing is done by any of these.
    path = address.format(lease="none", client="nobody", file="dashboard.js") + "?misspelt=1"
    if role == "none":
        assert await status(there, method, path, {}) == 200
        assert await status(there, method, path, bearing("nobody")) == 200
        return
    assert await status(there, method, path, {}) == 401
    assert await status(there, method, path, bearing("nobody")) == 401
    for name in ("consume", "metrics", "both", "admin", "canary"):
        answer = await status(there, method, path, bearing(name))
        assert (answer not in (401, 403)) == (name in LET_IN[role]), name
        assert answer != 401, name


@pytest.mark.parametrize(("method", "path", "found"), [("GET", "/v1/nothing", 404), ("GET", "/v1/pull", 405)])
async def test_what_is_not_served_is_told_to_whoever_has_a_token(
    there: Served, method: str, path: str, found: int
) -> None:
    assert await status(there, method, path, {}) == 401
    for name in ("consume", "metrics", "admin"):
        assert await status(there, method, path, bearing(name)) == found


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/internal/link", "/internal/", "/internal/v1/pull", "/%69nternal/link"])
async def test_what_workers_ask_each_other_is_refused_to_clients_whatever_they_send(
    there: Served, method: str, path: str
) -> None:
    for headers in ({}, bearing("nobody"), bearing("consume"), bearing("admin")):
        assert await status(there, method, path, headers) == 403


async def test_without_tokens_everybody_may_do_everything_but_what_is_between_workers() -> None:
    async with serving() as there:
        there.runtime.offer(b"a")
        assert len((await there.pull())["messages"]) == 1
        for headers in ({}, bearing("nobody"), {"Authorization": "Basic YTpi"}):
            assert await status(there, "POST", "/v1/pause", headers) == 200
            assert await status(there, "GET", "/internal/link", headers) == 403


# The token -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], "send a token: Authorization: Bearer"),
        (["Authorization:"], "Authorization: Bearer"),
        (["Authorization: Bearer"], "at least 32 characters"),
        (["Authorization: Bearer "], "at least 32 characters"),
        ([f"Authorization: {token('consume')}"], "Authorization: Bearer"),
        ([f"Authorization: Basic {token('consume')}"], "Authorization: Bearer"),
        ([f"Authorization: Bearer {token('consume')[:-1]}"], "no longer, in the --tokens-file"),
        ([f"Authorization: Bearer {token('consume')}x"], "no longer, in the --tokens-file"),
        ([f"Authorization: Bearer {token('consume')} {token('consume')}"], "no longer, in the --tokens-file"),
        ([f"Authorization: Bearer {token('consume')[:-1]}\udcff"], "no longer, in the --tokens-file"),
        ([f"Authorization: Bearer {token('consume')}", "Authorization: Bearer x"], "one token, not more"),
        ([f"Fanout-Token: {token('consume')}"], "send a token"),
    ],
)
async def test_a_request_without_a_token_of_the_file_is_told_how_it_should_be(
    there: Served, headers: list[str], said: str
) -> None:
    answer = await sent(there, "POST", "/v1/pull?wait_ms=0", headers)
    assert answer.startswith("HTTP/1.1 401 ")
    assert 'WWW-Authenticate: Bearer realm="fanout"' in answer
    assert ('error="invalid_token"' in answer) == ("no longer" in said)
    assert "urn:fanout:problem:unauthorized" in answer
    assert said in answer
    assert token("consume")[:20] not in answer


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer   "])
async def test_the_scheme_may_be_written_as_one_likes(there: Served, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {token('consume')}"}
    assert await status(there, "POST", "/v1/next?wait_ms=0", headers) == 204


async def test_a_token_that_could_be_guessed_is_refused_though_it_is_in_the_file() -> None:
    short = "x" * 31
    gate = Gate({sha256(text.encode()).digest(): of(Role.ADMIN) for text in (short, short + "x")})
    async with serving(gate=gate) as there:
        assert await status(there, "GET", "/v1/status", {"Authorization": f"Bearer {short}"}) == 401
        assert await status(there, "GET", "/v1/status", {"Authorization": f"Bearer {short}x"}) == 200


async def test_a_role_that_does_not_suffice_is_told_which_one_would(there: Served) -> None:
    got, headers, body = await there.ask("POST", "/v1/pause", headers=bearing("both"))
    assert (got, body["type"]) == (403, "urn:fanout:problem:forbidden")
    assert body["detail"] == "this takes a token of role admin, and this one's is consume, metrics"
    assert headers["WWW-Authenticate"] == 'Bearer realm="fanout", error="insufficient_scope", scope="admin"'
    assert not there.runtime.paused


async def test_a_token_in_the_query_is_none_and_is_not_quoted(there: Served) -> None:
    path = f"/v1/pull?access_token={token('consume')}"
    for headers in ({}, bearing("consume")):
        got, _, body = await there.ask("POST", path, headers=headers)
        assert got == (400 if headers else 401)
        assert token("consume") not in str(body)


async def test_nothing_is_read_or_asked_for_before_the_token(there: Served) -> None:
    there.runtime.offer(b"a")
    announced = ["Content-Length: 4000000"]
    assert (await sent(there, "POST", "/v1/pull", announced)).startswith("HTTP/1.1 401 ")
    expected = await sent(there, "POST", "/v1/pull", [*announced, "Expect: 100-continue"])
    assert expected.startswith("HTTP/1.1 401 ")
    forbidden = [*announced, "Expect: 100-continue", f"Authorization: Bearer {token('metrics')}"]
    assert (await sent(there, "POST", "/v1/pull", forbidden)).startswith("HTTP/1.1 403 ")
    welcome = [*announced, "Expect: 100-continue", f"Authorization: Bearer {token('consume')}"]
    assert (await sent(there, "POST", "/v1/pull", welcome)).startswith("HTTP/1.1 100 ")
    assert there.runtime.free() == [0]


async def test_tokens_that_change_count_from_the_next_request_on() -> None:
    gate = Gate(KNOWN)
    async with serving(gate=gate) as there:
        waiting = asyncio.create_task(status(there, "POST", "/v1/next", bearing("consume")))
        await eventually(there.runtime.pulls)
        gate.use(known(other=of(Role.CONSUME), metrics=of(Role.CONSUME)))
        assert await status(there, "POST", "/v1/next?wait_ms=0", bearing("consume")) == 401
        assert await status(there, "GET", "/v1/status", bearing("metrics")) == 403
        for name in ("other", "metrics"):
            assert await status(there, "POST", "/v1/next?wait_ms=0", bearing(name)) == 204
        there.runtime.offer(b"a")
        assert await waiting == 200, "what had been let in is not cut off"


async def test_each_refusal_is_counted_once() -> None:
    refused: list[int] = []
    async with serving(gate=Gate(KNOWN, refused.append)) as there:
        await status(there, "GET", "/v1/status", {})
        await status(there, "POST", "/v1/pause", bearing("consume"))
        await status(there, "GET", "/v1/status", bearing("metrics"))
        await status(there, "GET", "/healthz", {})
        await sent(there, "POST", "/v1/pull", ["Content-Length: 9", "Expect: 100-continue"])
    assert refused == [401, 403, 401]


async def test_who_asks_for_a_change_is_logged_by_name_and_no_token_ever(
    there: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    assert await status(there, "POST", "/v1/pause", bearing("admin")) == 200
    assert await status(there, "DELETE", "/v1/clients/" + quote("a\nb", safe=""), bearing("admin")) == 400
    for name in ("admin", "consume", "nobody"):
        for path in ("/v1/pause", "/v1/pull?wait_ms=0", "/v1/leases/x", f"/v1/leases/{token('admin')}"):
            for method in ("GET", "POST"):
                await status(there, method, path, bearing(name), data=token("admin"))
    said = [record.getMessage() for record in caplog.records if record.name == "fanout.web.access"]
    assert said == [
        "POST /v1/pause is asked for by ops",
        "DELETE /v1/clients/{client} is asked for by ops",
        "POST /v1/pause is asked for by ops",
    ]
    assert "token-of-at-least" not in caplog.text


# The group -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "asked", "group"),
    [
        ("consume", None, "stable"),
        ("consume", "canary", "canary"),
        ("canary", None, "canary"),
        ("canary", "canary", "canary"),
        ("canary", "stable", None),
        ("canary", "Canary", None),
        ("admin", "canary", "canary"),
    ],
)
async def test_a_pull_is_of_the_group_that_its_token_allows(
    there: Served, name: str, asked: str | None, group: str | None
) -> None:
    body = {"wait_ms": 0, "client": "ann"} | ({"group": asked} if asked else {})
    query = f"?wait_ms=0&client=bob{f'&group={asked}' if asked else ''}"
    answers = [
        await there.ask("POST", "/v1/pull", headers=bearing(name), json=body),
        await there.ask("POST", f"/v1/next{query}", headers=bearing(name)),
    ]
    assert {code for code, _, _ in answers} == ({204} if group else {403})
    clients = there.runtime.dispatcher.clients
    assert [client.group for client in clients] == ([group, group] if group else [])
    if not group:
        assert all(answer["type"] == "urn:fanout:problem:forbidden" for _, _, answer in answers)
        assert all("'canary' alone" in answer["detail"] for _, _, answer in answers)


async def test_a_pull_of_a_wrong_group_settles_nothing(there: Served) -> None:
    there.runtime.offer(b"a")
    _, _, pulled = await there.ask("POST", "/v1/pull", headers=bearing("consume"), json={"client": "ann"})
    (lease,) = [message["lease"] for message in pulled["messages"]]
    body = {"wait_ms": 0, "group": "stable", "settle": {"ack": [lease]}}
    assert await status(there, "POST", "/v1/pull", bearing("canary"), json=body) == 403
    assert there.runtime.settled == []


async def test_a_lease_is_the_right_to_settle_it_whatever_the_group(there: Served) -> None:
    there.runtime.offer(b"a")
    _, _, pulled = await there.ask("POST", "/v1/pull", headers=bearing("consume"), json={"client": "ann"})
    (lease,) = [message["lease"] for message in pulled["messages"]]
    assert await status(there, "DELETE", f"/v1/leases/{lease}", bearing("metrics")) == 403
    assert await status(there, "DELETE", f"/v1/leases/{lease}", bearing("canary")) == 204


# ---------------------------------------------------------------------------------------------------------------------


async def sent(there: Served, method: str, path: str, headers: list[str]) -> str:
    """The answer, its beginning at least, to a request that is sent as it stands and not more of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
    try:
        async with asyncio.timeout(DEADLINE):
            lines = [f"{method} {path} HTTP/1.1", "Host: here", *headers, "", ""]
            writer.write("\r\n".join(lines).encode(errors="surrogateescape"))
            head = await reader.readuntil(b"\r\n\r\n")
            return (head + (await reader.read(4096) if b" 100 " not in head[:16] else b"")).decode()
    finally:
        writer.transport.abort()
