"""Redirect mode as HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fanout_app.core.following import Leader
from fanout_app.core.roster import Heartbeat
from unit.web.harness import Served, serving

pytestmark = pytest.mark.usefixtures("heads")

ELSEWHERE = "http://10.0.0.2:6066"


def beat(worker: str, address: str, messages: int = 0) -> Heartbeat:
    return Heartbeat(worker=worker, address=address, partitions=(), generation=1, waiting_messages=messages,
                     waiting_pulls=0, epoch=None, misses_epoch=None)  # fmt: skip


def cluster(there: Served, leads: str, *, messages: int = 0) -> None:
    """Two workers, of which ``leads`` leads; the other one has so many messages waiting."""
    addresses = {"worker-0": ELSEWHERE, "worker-1": "http://10.0.0.1:6066"}
    for worker, address in addresses.items():
        there.runtime.roster.heard(there.runtime.clock, beat(worker, address, messages if worker == "worker-0" else 0))
    there.runtime.leading.led_by = Leader(worker=leads, address=addresses[leads], epoch=7)


@pytest_asyncio.fixture
async def there() -> AsyncIterator[Served]:
    async with serving(redirect=True) as served:
        yield served


async def location(there: Served, path: str, **request: object) -> tuple[str, str]:
    async with there.http.post(path, allow_redirects=False, **request) as got:  # type: ignore[arg-type]
        assert got.status == 307
        assert await got.read() == b""
        return got.headers["Location"], got.headers["Fanout-Leader"]


async def test_a_pull_is_sent_to_the_leader(there: Served) -> None:
    cluster(there, "worker-0")
    assert await location(there, "/v1/pull", json={"client": "a"}) == (f"{ELSEWHERE}/v1/pull?redirects=1", ELSEWHERE)
    assert await location(there, "/v1/pull?redirects=1") == (f"{ELSEWHERE}/v1/pull?redirects=2", ELSEWHERE)


async def test_what_stands_in_the_address_goes_along(there: Served) -> None:
    cluster(there, "worker-0")
    asked = "/v1/next?client=a%26b+%C3%A4&wait_ms=5"
    place, _ = await location(there, asked)
    assert place == f"{ELSEWHERE}/v1/next?client=a%26b+%C3%A4&wait_ms=5&redirects=1"
    place, _ = await location(there, f"{asked}&redirects=1")
    assert place == f"{ELSEWHERE}/v1/next?client=a%26b+%C3%A4&wait_ms=5&redirects=2"


async def test_the_leader_sends_to_where_there_is_more(there: Served) -> None:
    cluster(there, "worker-1", messages=100)
    place, leader = await location(there, "/v1/pull")
    assert (place, leader) == (f"{ELSEWHERE}/v1/pull?redirects=1", "http://10.0.0.1:6066")


@pytest.mark.parametrize("path", ["/v1/pull?redirects=2", "/v1/next?redirects=2"])
async def test_after_two_redirects_it_is_served(there: Served, path: str) -> None:
    cluster(there, "worker-0")
    there.runtime.offer(b"hello")
    assert (await there.ask("POST", path))[0] == 200


async def test_without_a_leader_the_worker_serves_what_it_has(there: Served) -> None:
    there.runtime.offer(b"hello")
    assert (await there.ask("POST", "/v1/next"))[0] == 200


async def test_what_is_refused_is_refused_at_once(there: Served) -> None:
    cluster(there, "worker-0")
    for path in ("/v1/pull?redirects=3", "/v1/pull?redirects=-1", "/v1/pull?x=1", "/v1/next?redirects=x"):
        assert (await there.ask("POST", path))[0] == 400
    assert (await there.ask("POST", "/v1/pull", json={"x": 1}))[0] == 400


async def test_settles_stay(there: Served) -> None:
    cluster(there, "worker-0")
    assert (await there.ask("POST", "/v1/settle", json={"ack": ["nonsense"]}))[0] == 200


async def test_in_forward_mode_nothing_is_redirected_and_the_count_does_no_harm() -> None:
    async with serving() as there:
        cluster(there, "worker-0")
        there.runtime.offer(b"one", b"two")
        assert (await there.ask("POST", "/v1/next"))[0] == 200
        assert (await there.ask("POST", "/v1/pull?redirects=1"))[0] == 200
