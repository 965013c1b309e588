"""Groups that each get every message, over three workers: joining at all owners, answers, settles and moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Set
from time import monotonic

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.errors import NotOwnedError, UnavailableError
from fanout_app.core.requests import Empty, LeaseRef
from fanout_app.ports import WriteError
from unit.cluster.conftest import Trio
from unit.cluster.wire import Member, leases, offsets
from unit.fake_ports import until

TTL = 0.6
#: For a test in which groups go.
groups_go = pytest.mark.parametrize("ttl", [TTL])


@pytest.fixture
def ttl() -> float:
    return 30.0  # longer than a busy machine stalls between two pulls of a group that is to be there still


@pytest.fixture
async def trio(monkeypatch: pytest.MonkeyPatch, ttl: float) -> AsyncIterator[Trio]:
    for name, value in (("ID", "a"), ("TOPIC", "t"), ("DELIVERY", "broadcast"), ("CLIENT_TTL", f"{ttl}s")):
        monkeypatch.setenv(f"FANOUT_{name}", value)
    trio = Trio(Limits(client_ttl=ttl))
    for member in trio.members:
        member.runtime.partitions_of_topic = 2
        member.kafka.slot_rows = trio.a.kafka.slot_rows  # one changelog, wherever a partition moves
        member.kafka.rows = trio.a.kafka.rows
    telling = [asyncio.create_task(member.runtime.exchange.keep_telling()) for member in trio.members]
    await trio.ready()
    yield trio
    for task in telling:
        task.cancel()
    for member in trio.members:
        await member.stop()


async def of(member: Member, group: str, count: int = 10, *, wait: float = 5.0) -> list[LeaseRef] | Empty:
    return leases(await member.pulling(f"of-{group}", count, wait=wait, group=group))


async def gathered(member: Member, group: str, count: int) -> list[tuple[int, int]]:
    got: list[tuple[int, int]] = []
    deadline = monotonic() + 5
    while len(got) < count:
        assert monotonic() < deadline, got
        got += offsets(await of(member, group))
    return sorted(got)


def rows(trio: Trio, number: int) -> list[str]:
    return [row.group for _, row in trio.a.kafka.slot_rows.get(number, ())]


@pytest.mark.parametrize("asked", ["a", "c"])
async def test_a_group_has_joined_at_all_owners_before_it_is_answered(trio: Trio, asked: str) -> None:
    member = next(one for one in trio.members if one.name == asked)
    held = trio.b.kafka.hold("write_slot")
    asking = asyncio.create_task(of(member, "x", wait=0.0))
    await held.reached()
    await asyncio.sleep(0.02)
    assert not asking.done()
    held.go_on()
    assert await asking is Empty.NO_MESSAGE
    assert (rows(trio, 0), rows(trio, 1)) == (["x"], ["x"])


async def test_each_group_gets_what_all_owners_have(trio: Trio) -> None:
    for group in ("x", "y"):
        await of(trio.c, group, wait=0.0)
    await trio.a.arrive(0, 1)
    await trio.b.arrive(0, 1, number=1)
    everything = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert await gathered(trio.c, "x", 4) == everything
    assert await gathered(trio.a, "y", 4) == everything


async def test_a_settle_is_that_of_its_group_at_the_owner(trio: Trio) -> None:
    for group in ("x", "y"):
        await of(trio.c, group, wait=0.0)
    await trio.b.arrive(0, 1, number=1)
    x, y = await of(trio.c, "x"), await of(trio.c, "y")
    assert isinstance(x, list)
    assert isinstance(y, list)
    outcome = await trio.c.settle(ack=[*x, *y[:1]])
    assert (outcome.acked, outcome.results) == (3, [])
    floors = {name: queue.commit.floor(1) for name, queue in trio.b.runtime.groups.named().items()}
    assert floors == {"x": 2, "y": 1}
    assert (await trio.c.settle(nack=y[1:])).nacked == 1


@groups_go
async def test_a_group_that_is_alive_at_another_worker_is_not_dropped(trio: Trio) -> None:
    await of(trio.c, "x", wait=0.0)
    waiting = asyncio.create_task(of(trio.c, "x", wait=3 * TTL))
    await asyncio.sleep(2 * TTL)
    assert "x" in trio.a.runtime.groups.named()
    assert await waiting is Empty.NO_MESSAGE
    await until(lambda: all(not member.runtime.groups.named() for member in trio.members))
    await until(lambda: rows(trio, 0)[-1] == rows(trio, 1)[-1] == "")


@groups_go
async def test_one_that_has_gone_joins_again(trio: Trio) -> None:
    await of(trio.c, "x", wait=0.0)
    await until(lambda: all(not member.runtime.groups.named() for member in trio.members))
    await of(trio.c, "x", wait=0.0)
    assert (rows(trio, 0)[-1], rows(trio, 1)[-1]) == ("x", "x")
    await trio.b.arrive(0, number=1)
    assert offsets(await of(trio.c, "x")) == [(1, 0)]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanout_app.cluster.joining._WITHIN", 0.1)
    monkeypatch.setattr("fanout_app.cluster.joining._WAY", 0.1)
    monkeypatch.setattr("fanout_app.cluster.joining._TOLD_IN", 0.1)


def no_row(trio: Trio) -> None:
    trio.b.kafka.fail("write_slot", *[WriteError("away")] * 20)


def no_owner(trio: Trio) -> None:
    for member in trio.members:
        member.runtime.partitions_of_topic = 3


def no_word(trio: Trio) -> None:
    trio.ends["b", "c"].delay()


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("fault", [no_row, no_owner, no_word])
async def test_without_all_owners_there_is_no_answer(trio: Trio, fault: Callable[[Trio], None]) -> None:
    fault(trio)
    with pytest.raises((NotOwnedError, UnavailableError), match="ask again"):
        await of(trio.c, "x", wait=0.0)


@pytest.mark.usefixtures("short")
async def test_a_partition_that_was_added_since_the_start_has_to_have_an_owner_too(trio: Trio) -> None:
    await asyncio.gather(trio.a.own(0, generation=2), trio.b.own(1, 3, generation=2), trio.c.own(generation=2))
    await until(lambda: trio.c.runtime.exchange.routes.known() == {0, 1, 3})
    with pytest.raises(NotOwnedError, match="some partitions have no owner"):
        await of(trio.c, "x", wait=0.0)
    await trio.c.own(2, generation=2)
    assert await of(trio.c, "x", wait=0.0) is Empty.NO_MESSAGE


async def test_a_group_follows_a_partition_that_moves(trio: Trio) -> None:
    for group in ("x", "y"):
        await of(trio.c, group, wait=0.0)
    await trio.b.arrive(0, 1, 2, number=1)
    x = await of(trio.c, "x", 2)
    assert isinstance(x, list)
    assert (await trio.c.settle(ack=x)).acked == 2
    trio.b.terms.begin_rebalance()
    await trio.b.runtime.give_up()
    moves: list[Awaitable[None]] = [trio.b.own(generation=2), trio.c.own(1, generation=2)]
    await asyncio.gather(*moves)
    assert trio.c.queue.partitions[1].next_offset == 0, "y has nothing of it"
    await trio.c.arrive(0, 1, 2, number=1)
    assert await gathered(trio.a, "x", 1) == [(1, 2)]
    assert await gathered(trio.a, "y", 3) == [(1, 0), (1, 1), (1, 2)]


class TestAPartitionIsAdded:
    """`c`, which had none, is given it; the groups' clients are all at `a`."""

    @staticmethod
    def answers(member: Member, monkeypatch: pytest.MonkeyPatch) -> list[Set[str] | None]:
        """What this worker finds out of which groups there are, each time that it asks."""
        found: list[Set[str] | None] = []
        joining = member.runtime._joining
        ask = joining.everywhere

        async def everywhere() -> Set[str] | None:
            found.append(await ask())
            return found[-1]

        monkeypatch.setattr(joining, "everywhere", everywhere)
        return found

    async def added(self, trio: Trio) -> None:
        await asyncio.gather(trio.a.own(0, generation=2), trio.b.own(1, generation=2), trio.c.own(2, generation=2))

    async def test_it_begins_with_the_groups_that_there_are(self, trio: Trio) -> None:
        for group in ("x", "y"):
            await of(trio.a, group, wait=0.0)
        await self.added(trio)
        await of(trio.c, "y", wait=0.0)
        await until(lambda: trio.c.runtime.wants(2))
        await trio.c.arrive(0, 1, number=2)
        assert await gathered(trio.c, "y", 2) == [(2, 0), (2, 1)]
        assert await gathered(trio.a, "x", 2) == [(2, 0), (2, 1)], "it had no client alive in that moment"

    async def test_an_owner_that_ends_before_all_are_in_leaves_it_to_the_next(self, trio: Trio) -> None:
        for group in ("x", "y"):
            await of(trio.a, group, wait=0.0)
        held = trio.c.kafka.hold("write_slot")
        await self.added(trio)
        await held.reached()
        trio.c.kafka.fail("write_slot", *[WriteError("away")] * 100)
        held.go_on()
        await until(lambda: rows(trio, 2) == ["x"] or rows(trio, 2) == ["y"])
        assert not trio.c.runtime.wants(2)
        trio.c.terms.begin_rebalance()
        await trio.c.runtime.give_up()
        await asyncio.gather(trio.a.own(0, generation=3), trio.b.own(1, 2, generation=3), trio.c.own(generation=3))
        await until(lambda: trio.b.runtime.wants(2))
        assert set(rows(trio, 2)) == {"x", "y"}

    @pytest.mark.usefixtures("short")
    async def test_nothing_of_it_is_fetched_before_all_owners_have_told_which_there_are(
        self, trio: Trio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await of(trio.a, "x", wait=0.0)
        answers = self.answers(trio.c, monkeypatch)
        trio.ends["a", "c"].delay()
        await self.added(trio)
        await asyncio.gather(of(trio.b, "y", wait=0.0), return_exceptions=True)
        await until(lambda: answers[:2] == [None, None])
        assert not trio.c.runtime.wants(2)
        trio.ends["a", "c"].flow()
        await until(lambda: trio.c.runtime.wants(2))
        assert "x" in rows(trio, 2)

    @pytest.mark.usefixtures("short")
    async def test_nor_before_who_has_no_partitions_has_told_who_joins_there(
        self, trio: Trio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await of(trio.a, "y", wait=0.0)
        answers = self.answers(trio.a, monkeypatch)
        for owner in ("a", "b"):
            trio.ends["c", owner].delay()
        joining = asyncio.create_task(of(trio.c, "x", wait=0.0))
        await asyncio.gather(trio.a.own(0, 2, generation=2), trio.b.own(1, generation=2), trio.c.own(generation=2))
        await until(lambda: answers[:2] == [None, None])
        assert not trio.a.runtime.wants(2)
        for owner in ("a", "b"):
            trio.ends["c", owner].flow()
        await until(lambda: trio.a.runtime.wants(2))
        assert set(rows(trio, 2)) == {"x", "y"}
        await asyncio.gather(joining, return_exceptions=True)

    async def test_nor_before_they_are_where_they_are_now(self, trio: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
        await of(trio.a, "x", wait=0.0)
        answers = self.answers(trio.c, monkeypatch)
        await asyncio.gather(trio.b.own(1, generation=2), trio.c.own(2, generation=2))
        await until(lambda: answers[:2] == [None, None])
        assert not trio.c.runtime.wants(2)
        await trio.a.own(0, generation=2)
        await until(lambda: trio.c.runtime.wants(2))

    async def test_nor_before_others_that_were_added_with_it_have_owners(
        self, trio: Trio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await of(trio.a, "x", wait=0.0)
        answers = self.answers(trio.c, monkeypatch)
        await asyncio.gather(trio.a.own(0, 1, generation=2), trio.c.own(3, generation=2))
        await until(lambda: answers[:2] == [None, None])
        assert not trio.c.runtime.wants(3)
        await trio.b.own(2, generation=2)
        await until(lambda: trio.c.runtime.wants(3))

    async def test_it_is_found_out_once(self, trio: Trio) -> None:
        await of(trio.a, "x", wait=0.0)
        await self.added(trio)
        await until(lambda: trio.c.runtime.wants(2))
        trio.c.terms.begin_rebalance()
        await trio.c.runtime.give_up()
        trio.ends["a", "b"].delay()
        await asyncio.gather(trio.a.own(0, generation=3), trio.b.own(1, 2, generation=3), trio.c.own(generation=3))
        await until(lambda: trio.b.runtime.wants(2))
