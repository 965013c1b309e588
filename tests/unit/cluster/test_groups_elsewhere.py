"""Which groups count as alive at a worker whose own clients are all of other ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from fanout_app.cluster import routes
from fanout_app.cluster.frames import State
from fanout_app.core.dispatcher import Limits
from unit.cluster.conftest import Trio
from unit.cluster.wire import Member, leases, offsets
from unit.fake_ports import until

TTL = 2.0
CANARY_ONLY = {"stable": 0, "canary": 100}


def elsewhere(member: Member) -> set[str]:
    return set(member.queue.sharing.alive_elsewhere)


async def test_a_group_is_told_of_when_its_first_client_comes(trio: Trio) -> None:
    pulling = trio.a.pulling("C", group="canary")

    await until(lambda: all(elsewhere(member) == {"canary"} for member in (trio.b, trio.c)))

    # The two owners at which it waits tell of it as well; nobody tells of what it was only told.
    await until(lambda: elsewhere(trio.a) == {"canary"})
    pulling.cancel()


async def test_a_message_waits_for_a_group_that_is_alive_at_another_worker_only(trio: Trio) -> None:
    trio.b.queue.set_weights(CANARY_ONLY)
    told = trio.ends["a", "b"]
    trio.b.runtime.exchange.received(told.twin, State((0,), 9, 0, ("canary",)))
    pulling = trio.b.pulling("B")
    await trio.b.arrive(0, number=1)

    await asyncio.sleep(0.05)
    assert not pulling.done()

    trio.b.runtime.exchange.received(told.twin, State((0,), 9, 0))
    assert offsets(leases(await pulling)) == [(1, 0)]


@pytest.fixture
async def short(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Member]:
    """A worker at which a client that is silent is alive for two seconds."""
    monkeypatch.setenv("FANOUT_ID", "a")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    member = Member("short", Limits(client_ttl=TTL))
    await member.own(0)
    yield member
    await member.stop()


async def test_when_the_last_client_of_a_group_has_gone_stable_is_served_within_its_ttl(short: Member) -> None:
    short.queue.set_weights(CANARY_ONLY)
    await short.pulling("C", group="canary", wait=0.0)
    # The queue forgets who is gone once a ttl, from the first pull on: the last one lies between two of these.
    await asyncio.sleep(TTL / 4)
    await short.pulling("C", group="canary", wait=0.0)
    gone = monotonic()
    stable = short.pulling("S")
    await short.arrive(0)
    await asyncio.sleep(0.1)
    assert not stable.done()

    # Nothing comes and nothing is asked meanwhile that would make anybody look.
    assert offsets(leases(await stable)) == [(0, 0)]

    assert TTL <= monotonic() - gone < TTL * 1.5


async def test_the_groups_of_a_worker_that_is_lost_have_a_ttl_to_come_back(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = trio.ends["b", "a"]
    trio.b.runtime.exchange.received(end, State((0,), 1, 0, ("canary",)))
    end.lose()
    assert trio.b.runtime.exchange.routes.groups() == {"canary"}
    later = monotonic() + trio.b.queue.limits.client_ttl
    monkeypatch.setattr(routes, "monotonic", lambda: later)
    assert trio.b.runtime.exchange.routes.groups() == set()
