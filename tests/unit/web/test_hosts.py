"""A page whose name leads to the loopback is the same origin to a browser: its name is what it is refused by."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fanout_app.options import Options
from fanout_app.web.listening import names_of
from unit.test_options import options
from unit.web.harness import Served, serving


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving(names=frozenset({"worker-1.example", "my-machine"})) as served:
        yield served


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:6066", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example", ""],
)
async def test_by_another_name_nothing_is_read_and_nothing_done(there: Served, host: str) -> None:
    """As a browser sends it: without TLS it says nothing else of where the page is from."""
    there.runtime.offer(b"a")
    headers = {"Host": host, "Origin": f"http://{host}"}
    for method, path in (("GET", "/v1/parked"), ("GET", "/"), ("POST", "/v1/next"), ("POST", "/v1/pause")):
        status, _, problem = await there.ask(method, path, headers=headers)
        assert (status, problem["type"]) == (403, "urn:fanout:problem:forbidden"), path
        assert "--advertise" in problem["detail"]
    # What is sent over and over is answered without being read again, once it was let in.
    for _ in range(3):
        assert (await there.ask("POST", "/v1/pull", headers=headers, data=b"{}"))[0] == 403
    assert there.runtime.free() == [0]
    assert not there.runtime.paused


@pytest.mark.parametrize(
    "said",
    [
        {"Origin": "http://evil.example"},
        {"Referer": "http://evil.example/page"},
        {"Accept-Language": "en"},
        {"Sec-Fetch-Mode": "cors"},
        {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"},
    ],
    ids=lambda said: next(iter(said)),
)
async def test_whatever_a_browser_says_of_itself_shows_that_it_is_one(there: Served, said: dict[str, str]) -> None:
    assert (await there.ask("GET", "/v1/parked", headers={"Host": "evil.example", **said}))[0] == 403


async def test_what_is_no_browser_asks_by_any_name(there: Served) -> None:
    """A proxy, a name in /etc/hosts, a client that sends whatever `Host` it likes."""
    headers = {"Host": "kafka-things", "User-Agent": "curl/8.5.0"}
    for method, path in (("GET", "/v1/status"), ("POST", "/v1/pause")):
        assert (await there.ask(method, path, headers=headers))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:6066",
        "localhost.:6066",
        "fanout.localhost:80",
        "127.0.0.1:6066",
        "[::1]:6066",
        "10.0.0.7",
        "worker-1.example:6066",
        "My-Machine",
    ],
)
async def test_by_its_own_names_and_by_addresses_it_is_asked(there: Served, host: str) -> None:
    assert (await there.ask("GET", "/v1/status", headers={"Host": host}))[0] == 200
    assert (await there.ask("POST", "/v1/pause", headers={"Host": host, "Origin": f"http://{host}"}))[0] == 200


async def test_where_names_are_not_looked_at_any_will_do() -> None:
    async with serving() as there:
        assert (await there.ask("GET", "/v1/status", headers={"Host": "evil.example"}))[0] == 200


def of(*arguments: str) -> Options:
    return options("--id", "a", "--topic", "t", *arguments)


def test_names_are_looked_at_where_nothing_else_keeps_strangers_away() -> None:
    assert names_of(of()) == frozenset()
    named = frozenset({"127.0.0.1", "worker-1.example"})
    assert names_of(of("--bind", "127.0.0.1:7000", "--advertise", "Worker-1.example:7000")) == named
    assert names_of(of("--bind", "localhost:7000")) == frozenset({"localhost"})
    # A container is asked by the name of its service, and serves beyond the loopback.
    assert names_of(of("--bind", "0.0.0.0:6066", "--insecure")) is None
    assert names_of(of("--insecure")) is None
    assert names_of(of("--tokens-file", "tokens")) is None
