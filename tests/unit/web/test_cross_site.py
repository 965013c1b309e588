"""Pages from elsewhere can have a browser send a request to the loopback: none of theirs changes anything."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from unit.web.harness import Served, serving


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


FROM_ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"},
    # Another port of this machine is somebody else, and of the same site.
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "what-comes-one-day"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
]


@pytest.mark.parametrize("headers", FROM_ELSEWHERE)
async def test_what_a_page_from_elsewhere_asks_for_is_refused(there: Served, headers: dict[str, str]) -> None:
    there.runtime.offer(b"a")
    for method, path in (
        ("POST", "/v1/pause"),
        ("POST", "/v1/next"),
        ("DELETE", "/v1/clients/ann"),
        ("PUT", "/v1/canary"),
    ):
        status, _, problem = await there.ask(method, path, headers=headers)
        assert (status, problem["type"]) == (403, "urn:fanout:problem:forbidden"), path
    # What is sent over and over is answered without being read again, once it was let in.
    for _ in range(3):
        assert (await there.ask("POST", "/v1/pull", headers=headers, data=b"{}"))[0] == 403
    assert there.runtime.free() == [0]
    assert not there.runtime.paused


async def test_what_its_own_page_and_what_is_no_browser_asks_for_is_done(there: Served) -> None:
    here = f"http://127.0.0.1:{there.port}"
    ours = [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": here},
        # As a browser says it whose page came through a proxy that has another name.
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://fanout.example"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": here},
        {"Origin": here.upper()},
    ]
    for headers in ours:
        there.runtime.paused = False
        assert (await there.ask("POST", "/v1/pause", headers=headers))[0] == 200, headers
        assert there.runtime.paused


async def test_reading_changes_nothing_and_a_link_may_lead_here(there: Served) -> None:
    for path in ("/", "/v1/status", "/healthz"):
        assert (await there.ask("GET", path, headers=FROM_ELSEWHERE[0]))[0] == 200
