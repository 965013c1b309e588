"""The mirror on a real ZooKeeper: what a stale owner writes is refused, before, after and in the middle of ours."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest_asyncio

from fanout_app.core.start import Mirrored
from fanout_app.zookeeper.mirror import Mirror
from fanout_app.zookeeper.session import Session
from support.stack import Stack

_REACHED_WITHIN = 30.0
ROUNDS = 60


@pytest_asyncio.fixture
async def mirrors(stack: Stack) -> AsyncIterator[tuple[Mirror, Mirror]]:
    """Two workers' mirrors of the same id and topic."""
    topic = f"topic-{secrets.token_hex(4)}"
    sessions = [Session(stack.zookeepers, 6.0) for _ in range(2)]
    for session in sessions:
        session.start()
    try:
        for session in sessions:
            await session.reached(_REACHED_WITHIN)
        owner, stale = (Mirror(session, "service", topic) for session in sessions)
        yield owner, stale
    finally:
        await asyncio.gather(*(session.stop() for session in sessions))


async def test_what_a_stale_owner_writes_is_refused(mirrors: tuple[Mirror, Mirror]) -> None:
    owner, stale = mirrors
    await owner.write({0: Mirrored(2, 9), 1: Mirrored(0, 4)})
    await stale.write({0: Mirrored(1, 5000), 1: Mirrored(0, 3)})
    assert await owner.read([0, 1, 2]) == {0: Mirrored(2, 9), 1: Mirrored(0, 4)}


async def test_of_two_that_write_at_the_same_time_the_one_further_on_is_kept(mirrors: tuple[Mirror, Mirror]) -> None:
    owner, stale = mirrors
    for floor in range(1, ROUNDS):
        ours = Mirrored(0, 10 * floor)
        await asyncio.gather(owner.write({0: ours}), stale.write({0: Mirrored(0, 10 * floor - 5)}))
        # Where they met, the version has let one through, and the other tries again as it would a second later.
        await owner.write({0: ours})
        assert await stale.read([0]) == {0: ours}
