"""The lock's queue in a real ZooKeeper: whose turn it is, who is deposed, and what a lost session leaves behind."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest_asyncio

from fanout_app.ports import ElectionError
from fanout_app.zookeeper.lock import LockElection
from fanout_app.zookeeper.session import Session, root_of
from support.cable import Cable
from support.eventually import eventually
from support.stack import Stack

_REACHED_WITHIN = 30.0
DEADLINE = 30.0
#: Seconds; short, since one test waits for its end.
SESSION = 2.0


class Contender:
    """A worker in the queue."""

    def __init__(self, zookeepers: str, topic: str, name: str) -> None:
        self.session = Session(zookeepers, SESSION)
        self.faults: list[BaseException] = []
        self.election = LockElection(self.session, "service", topic, name, self.faults.append)
        self.looks = 0
        self.suspended = 0

    async def begin(self) -> None:
        self.session.start()
        await self.session.reached(_REACHED_WITHIN)
        self.election.start(self._look, self._suspend)

    def _look(self) -> None:
        self.looks += 1

    def _suspend(self) -> None:
        self.suspended += 1

    async def held(self) -> int | None:
        try:
            return await self.election.held()
        except ElectionError:
            return None

    async def leads(self, after: int = 0) -> int:
        """Wait until it does, in an epoch later than that."""

        async def later() -> int | None:
            epoch = await self.held()
            return epoch if epoch is not None and epoch > after else None

        epoch = await eventually(later, DEADLINE)
        assert epoch is not None
        return epoch

    async def end(self) -> None:
        await self.election.stop()
        await self.session.stop()
        assert self.faults == []


Contend = Callable[[str], Awaitable[Contender]]


@pytest_asyncio.fixture
async def path() -> str:
    return f"topic-{secrets.token_hex(4)}"


@pytest_asyncio.fixture
async def contend(stack: Stack, path: str) -> AsyncIterator[Contend]:
    """Makes contenders for one lock, and ends them."""
    async with AsyncExitStack() as ends:

        async def make(name: str) -> Contender:
            one = Contender(stack.zookeepers, path, name)
            await one.begin()
            ends.push_async_callback(one.end)
            return one

        yield make


async def queue(one: Contender, path: str) -> list[str]:
    return await one.session.call(lambda client: sorted(client.get_children(f"{root_of('service', path)}/leader")))


async def test_they_lead_in_turn_with_rising_epochs(contend: Contend, path: str) -> None:
    first = await contend("first")
    one = await first.leads()
    assert first.looks, "it was told that there is something to look at"
    second = await contend("second")
    # Who resigns queues again at once, and would be before one that has not come to it yet.
    await eventually(lambda: _is_long(second, path, 2), DEADLINE)
    assert await second.held() is None

    await first.election.resign()
    two = await second.leads(one)
    assert await first.held() is None
    await eventually(lambda: _is_long(second, path, 2), DEADLINE)
    await second.election.resign()
    assert await first.leads(two) > two


async def test_who_stops_leaves_the_lock_at_once(contend: Contend) -> None:
    first = await contend("first")
    one = await first.leads()
    second = await contend("second")
    await first.election.stop()
    await first.election.stop()
    assert await second.leads(one) > one


async def test_only_the_epoch_that_is_named_is_deposed(contend: Contend, path: str) -> None:
    first = await contend("first")
    one = await first.leads()
    second = await contend("second")
    await eventually(lambda: _is_long(second, path, 2), DEADLINE)
    assert not await second.election.depose(one - 1)
    assert await first.held() == one
    assert await second.election.depose(one)
    assert await first.held() is None
    two = await second.leads(one)
    assert not await first.election.depose(one), "it is over already"
    assert await second.held() == two


async def test_the_leader_of_a_long_queue_is_found_at_once(contend: Contend, path: str) -> None:
    first = await contend("first")
    one = await first.leads()
    second = await contend("second")
    await eventually(lambda: _is_long(second, path, 2), DEADLINE)
    looked_at: list[str] = []

    def others_queue(client: Any) -> None:
        for number in range(200):
            client.create(f"{root_of('service', path)}/leader/{number:032x}__lock__", ephemeral=True, sequence=True)
        exists = client.exists

        def noted(node: str, *args: Any, **options: Any) -> Any:
            looked_at.append(node)
            return exists(node, *args, **options)

        client.exists = noted

    await first.session.call(others_queue)

    assert await first.election.depose(one)
    # Others of this session may look too: who queues looks at the one before.
    assert len(looked_at) < 10


async def _is_long(one: Contender, path: str, length: int) -> bool:
    return len(await queue(one, path)) == length


async def test_a_session_that_has_ended_is_told_of_and_queues_again(contend: Contend, stack: Stack, path: str) -> None:
    async with Cable.to(stack.zookeepers) as cable:
        first = Contender(cable.address, path, "first")
        await first.begin()
        one = await first.leads()
        second = await contend("second")
        cable.cut()
        two = await second.leads(one)
        await eventually(lambda: first.suspended > 0, DEADLINE)
        assert await first.held() is None
        cable.mend()
        await eventually(lambda: _is_long(second, path, 2), DEADLINE)
        assert await first.held() is None
        await second.election.resign()
        assert await first.leads(two) > two, "with a lock object and a node of its own term"
        await first.end()


async def test_a_node_of_ours_that_no_term_knows_of_is_removed(contend: Contend, path: str) -> None:
    """A clean-up that failed leaves it in the queue, where it would hold the lock for ever without anybody knowing."""
    first = await contend("first")
    await first.leads()
    lock = f"{root_of('service', path)}/leader"
    orphan = await first.session.call(
        lambda client: client.create(f"{lock}/0__lock__", b"", ephemeral=True, sequence=True)
    )
    assert orphan.rpartition("/")[2] in await queue(first, path)
    await first.election.resign()
    await first.leads()
    assert len(await queue(first, path)) == 1
