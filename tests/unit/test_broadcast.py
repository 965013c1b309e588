"""Each group gets every message: joining, rows, floors, moves and going, at one worker without anything real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.errors import GroupsFullError, NotOwnedError
from fanout_app.core.group_row import SLOTS, Slot
from fanout_app.core.lease import Answer
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.requests import BatchRef, Empty, Entry, Pull, Settle, SettleOutcome, Status
from fanout_app.core.settling import Case
from fanout_app.ledger_group import LedgerGroup
from fanout_app.ports import WriteError
from unit.fake_ports import LONG, FakeKafka, until
from unit.scene import Scene, entries, offsets

TTL = 0.5
#: For a test in which groups go.
groups_go = pytest.mark.parametrize("ttl", [TTL])


class Broadcasting(Scene):
    """One that owns partitions 0 and 1; each client is a group of its own."""

    async def of(self, group: str, count: int = 100, *, client: str = "", wait: float = LONG) -> Any:
        pull = Pull(client=client or group, group=group, max_messages=count)
        return await self.runtime.pull(pull, wait=wait)

    async def get(self, group: str, count: int = 100, *, wait: float = LONG) -> list[int]:
        answer = await self.of(group, count, wait=wait)
        return [] if isinstance(answer, Empty) else offsets(answer)

    async def joined(self, *groups: str) -> None:
        """These are there, and have nothing yet."""
        for group in groups:
            assert await self.of(group, wait=0.0) is Empty.NO_MESSAGE

    async def ack(self, answer: Answer, *, durable: bool = True) -> SettleOutcome:
        return await self.runtime.settle(Settle(ack=entries(answer), durable=durable))

    def of_group(self, group: str) -> LedgerGroup:
        found = self.runtime.groups.of(group)
        assert found is not None
        return found

    def floor(self, number: int = 0) -> int:
        return self.runtime.dispatcher.partitions[number].ledger.floor

    async def moved_to(self, *numbers: int) -> None:
        """All partitions are given up, and these come back, as to another owner."""
        self.terms.begin_rebalance()
        await self.runtime.give_up()
        self.rebalance()
        await self.runtime.start(set())
        await self.own(*numbers)


@pytest.fixture
def ttl() -> float:
    return 30.0  # longer than a busy machine stalls between two pulls of a group that is to be there still


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch, ttl: float) -> AsyncIterator[Broadcasting]:
    monkeypatch.setenv("FANOUT_ID", "a")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    monkeypatch.setenv("FANOUT_DELIVERY", "broadcast")
    monkeypatch.setenv("FANOUT_CLIENT_TTL", f"{ttl}s")
    monkeypatch.setattr("fanout_app.group_commit.QUIET", 0.01)
    scene = Broadcasting(replace(Limits(), client_ttl=ttl, max_ack_pending=50))
    await scene.own(0, 1)
    yield scene
    await scene.stop()


def rows(kafka: FakeKafka, number: int = 0) -> dict[int, tuple[str, int]]:
    """The group and floor in the last row of each slot."""
    return {at: (row.group, row.ledger.floor) for at, row in kafka.slot_rows.get(number, ())}


async def test_each_group_gets_every_message_and_clients_of_one_share(scene: Broadcasting) -> None:
    await scene.joined("x", "y")
    await scene.arrive(*range(4))
    assert await scene.get("x") == [0, 1, 2, 3]
    first, second = await scene.of("y", 2, client="y1"), await scene.of("y", 2, client="y2")
    assert sorted([*offsets(first), *offsets(second)]) == [0, 1, 2, 3]


async def test_nothing_is_handed_out_or_settled_before_it_is_known_whether_the_group_is_there(
    scene: Broadcasting,
) -> None:
    """What is done without waiting cannot wait for that."""
    await scene.joined("x")
    await scene.arrive(0, 1)
    first = await scene.of("x", 1)
    assert scene.runtime.pull_at_once(Pull(client="x", group="x"), anonymous=False) is None
    assert scene.runtime.begin_settle(Settle(ack=entries(first))) is None
    assert (await scene.ack(first)).acked == 1
    assert await scene.get("x") == [1]


async def test_a_group_has_its_rows_before_it_is_answered_with_nothing(scene: Broadcasting) -> None:
    held = scene.kafka.hold("write_slot")
    asking = asyncio.create_task(scene.of("x", wait=0.0))
    await held.reached()
    await asyncio.sleep(0.02)
    assert not asking.done()
    held.go_on()
    assert await asking is Empty.NO_MESSAGE
    assert rows(scene.kafka, 0) == rows(scene.kafka, 1) == {0: ("x", 0)}


async def test_what_comes_while_its_row_is_under_way_is_for_it_too(scene: Broadcasting) -> None:
    await scene.joined("x")
    await scene.arrive(0, 1)
    held = scene.kafka.hold("write_slot")
    asking = asyncio.create_task(scene.get("y"))
    await held.reached()
    await scene.arrive(2, 3)
    held.go_on()
    assert await asking == [2, 3]


async def test_without_a_group_nothing_is_fetched_and_the_first_one_begins_there(scene: Broadcasting) -> None:
    assert not scene.runtime.wants(0)
    await scene.joined("x")
    assert scene.runtime.wants(0)


async def test_the_floor_is_the_lowest_that_the_changelog_has(scene: Broadcasting) -> None:
    await scene.joined("x", "y")
    await scene.arrive(*range(4))
    await scene.ack(await scene.of("x"))
    await asyncio.sleep(0.05)
    assert scene.floor() == 0
    held = scene.kafka.hold("write_slot")
    acking = asyncio.create_task(scene.ack(await scene.of("y", 3)))
    await held.reached()
    assert scene.floor() == 0, "it is acked, and nobody knows that it is written"
    held.go_on()
    assert (await acking).acked == 3
    await until(lambda: scene.runtime.committable()[0] == 3)


@groups_go
async def test_a_group_that_has_gone_holds_nothing_up(scene: Broadcasting) -> None:
    await scene.joined("dead", "x")
    await scene.arrive(*range(50))
    assert not scene.runtime.wants(0), "the window of the other one is full"
    for _ in range(5):
        await scene.ack(await scene.of("x", 10))
    assert not scene.runtime.wants(0)
    waiting = asyncio.create_task(scene.get("x"))
    await until(lambda: scene.runtime.groups.of("dead") is None)
    assert scene.runtime.wants(0)
    await until(lambda: ("", 0) in rows(scene.kafka).values())
    await until(lambda: scene.runtime.committable().get(0) == 50)
    await scene.arrive(50)
    assert await waiting == [50]


@groups_go
async def test_when_the_last_one_has_gone_the_next_begins_at_the_newest_message_offered(scene: Broadcasting) -> None:
    await scene.joined("x")
    await scene.arrive(*range(5))
    await until(lambda: not scene.runtime.groups.queues())
    assert not scene.runtime.wants(0)
    await until(lambda: scene.runtime.committable().get(0) == 5)
    await scene.joined("y")
    await scene.arrive(5)
    assert await scene.get("y") == [5]


@groups_go
async def test_a_group_that_comes_back_does_not_find_what_it_had(scene: Broadcasting) -> None:
    await scene.joined("x")
    await scene.arrive(0, 1)
    await until(lambda: scene.runtime.groups.of("x") is None)
    await scene.joined("x")
    await scene.moved_to(0, 1)
    await scene.arrive(2)
    assert await scene.get("x") == [2]


async def test_what_a_group_has_acked_it_does_not_get_again_from_the_next_owner(scene: Broadcasting) -> None:
    await scene.joined("x", "y")
    await scene.arrive(*range(6))
    await scene.ack(await scene.of("x", 3))
    y = await scene.of("y", 6)
    await scene.ack(Answer(batch=y.batch, client="y", group="y", runs=y.runs), durable=True)
    await scene.moved_to(0, 1)
    assert scene.runtime.dispatcher.partitions[0].next_offset == 3
    await scene.arrive(*range(3, 7))
    assert await scene.get("x") == [3, 4, 5, 6]
    assert await scene.get("y") == [6]


async def test_leases_of_each_group_are_handed_over(scene: Broadcasting) -> None:
    await scene.joined("x", "y")
    await scene.arrive(0, 1)
    x, y = await scene.of("x"), await scene.of("y", 1)
    await scene.moved_to(0, 1)
    await scene.arrive(0, 1)
    assert await scene.get("x", wait=0.05) == []
    assert await scene.get("y") == [1]
    assert (await scene.ack(x)).acked == 2
    assert (await scene.ack(y)).acked == 1


async def test_a_join_that_a_rebalance_ends_begins_anew(scene: Broadcasting) -> None:
    await scene.joined("y")
    await scene.arrive(0)
    held = scene.kafka.hold("write_slot")
    asking = asyncio.create_task(scene.get("x"))
    await held.reached()
    scene.rebalance(0, 1)
    held.go_on()
    await asyncio.sleep(0.02)
    assert not asking.done()
    await scene.arrive(1)
    await scene.runtime.start({0, 1})
    await until(lambda: scene.runtime.groups.of("x") and len(scene.runtime.groups.of("x").joined) == 2)  # type: ignore[union-attr]
    await scene.arrive(2)
    assert await asking == [2]
    claims = [row.claim for _, row in scene.kafka.slot_rows[0] if row.group == "x"]
    assert claims == sorted(set(claims)), "a row of which nobody knows whether it is there is not that of the join"


async def test_a_join_that_kafka_does_not_take_is_no_answer(
    scene: Broadcasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanout_app.cluster.joining._WITHIN", 0.1)
    scene.kafka.fail("write_slot", *[WriteError("away")] * 8)
    with pytest.raises(NotOwnedError, match="ask again"):
        await scene.of("x", wait=0.0)


async def test_there_are_no_more_groups_than_there_are_slots(scene: Broadcasting) -> None:
    waiting = [asyncio.create_task(scene.of(f"g{number}")) for number in range(SLOTS)]
    await until(lambda: sum(len(queue.pulls) for queue in scene.runtime.groups.queues()) == SLOTS)
    with pytest.raises(GroupsFullError):
        await scene.of("one-more", wait=0.0)
    scene.runtime.send_home()
    await asyncio.gather(*waiting)
    assert sorted(rows(scene.kafka)) == list(range(SLOTS))


async def test_tokens_find_the_group_that_they_are_of(scene: Broadcasting) -> None:
    await scene.joined("x", "y")
    await scene.arrive(0, 1)
    x, y = await scene.of("x"), await scene.of("y")
    both = Settle(ack=[*entries(x), Entry(token="forged", ref=None)], nack=[Entry(token="y", ref=BatchRef(0, y.batch))])
    outcome = await scene.runtime.settle(both)
    assert (outcome.acked, outcome.nacked, outcome.results) == (2, 2, [("forged", Status.LEASE_UNKNOWN)])


@groups_go
async def test_a_token_of_a_group_that_has_gone_is_lost(scene: Broadcasting) -> None:
    await scene.joined("x")
    await scene.arrive(0)
    x = await scene.of("x")
    scene.runtime.leave("x")
    await until(lambda: scene.runtime.groups.of("x") is None)
    outcome = await scene.ack(x)
    assert (outcome.acked, [status for _, status in outcome.results]) == (0, [Status.LEASE_LOST])


async def test_a_seek_is_one_of_all_groups(scene: Broadcasting) -> None:
    await scene.joined("x", "y")
    await scene.arrive(*range(4))
    await scene.ack(await scene.of("x"))
    scene.kafka.sought_to = {0: 1}
    await scene.runtime.seek(0, 1, force=True)
    assert {(row.group, row.ledger.era) for _, row in scene.kafka.slot_rows[0][-2:]} == {("x", 1), ("y", 1)}
    await scene.arrive(*range(1, 4))
    assert await scene.get("x") == await scene.get("y") == [1, 2, 3]
    await scene.moved_to(0, 1)
    assert scene.runtime.dispatcher.partitions[0].ledger.era == 1


async def test_a_pause_is_one_of_all_groups(scene: Broadcasting) -> None:
    await scene.joined("x")
    await scene.arrive(0)
    await scene.runtime.pause()
    assert await scene.of("x", wait=0.0) is Empty.PAUSED
    assert await scene.of("y", wait=0.0) is Empty.PAUSED
    await scene.runtime.resume()
    assert await scene.get("x") == [0]


async def test_the_floor_does_not_pass_a_group_that_is_joining(scene: Broadcasting) -> None:
    await scene.joined("x")
    await scene.arrive(0, 1)
    held = scene.kafka.hold("write_slot")
    asking = asyncio.create_task(scene.get("y"))
    await held.reached()
    await scene.arrive(2, 3)
    await scene.ack(await scene.of("x"))
    assert scene.floor() == 2
    held.go_on()
    assert await asking == [2, 3]
    assert scene.floor() == 2


async def test_what_a_late_owner_drops_is_not_dropped(scene: Broadcasting) -> None:
    """The next one has written its rows before it hands out anything, whether or not anybody acks."""
    await scene.joined("x")
    await scene.arrive(0)
    late = Slot(2, "", LedgerSnapshot(tenure=scene.runtime.dispatcher.partitions[0].ledger.tenure))
    await scene.moved_to(0, 1)
    await scene.kafka.write_slot(0, 0, late)
    await scene.moved_to(0, 1)
    assert scene.of_group("x").dispatcher.partitions.keys() == {0, 1}
    await scene.arrive(0)
    assert await scene.get("x") == [0]


async def test_what_a_late_owner_says_of_the_partition_passes_nothing_over(scene: Broadcasting) -> None:
    await scene.joined("x")
    await scene.arrive(0, 1)
    scene.kafka.rows[0].append(LedgerSnapshot(floor=2))
    await scene.moved_to(0, 1)
    assert scene.runtime.dispatcher.partitions[0].next_offset == 0
    await scene.arrive(0, 1)
    assert await scene.get("x") == [0, 1]


@groups_go
async def test_a_group_that_is_alive_at_another_worker_stays(
    scene: Broadcasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.joined("x", "y")
    monkeypatch.setattr(scene.runtime.exchange.routes, "groups", lambda: {"x"})
    await until(lambda: scene.runtime.groups.of("y") is None)
    await asyncio.sleep(TTL)
    assert scene.runtime.groups.of("x") is not None
    monkeypatch.setattr(scene.runtime.exchange.routes, "groups", lambda: set())
    await until(lambda: scene.runtime.groups.of("x") is None)


async def test_a_join_counts_only_while_the_partition_is_ours_for_certain(scene: Broadcasting) -> None:
    scene.terms.confirmed = False
    asking = asyncio.create_task(scene.of("x", wait=0.0))
    await until(lambda: rows(scene.kafka))
    await asyncio.sleep(0.05)
    assert not asking.done()
    scene.terms.confirmed = True
    assert await asking is Empty.NO_MESSAGE


class TestLookedAt:
    async def test_status_counts_what_each_group_has(self, scene: Broadcasting) -> None:
        await scene.joined("x", "y")
        scene.kafka.ends = {0: 6, 1: 0}
        await scene.arrive(*range(4))
        await scene.runtime.watch_log()
        await scene.of("x", 3)
        status = scene.runtime.status()
        assert {name: status[name] for name in ("lag", "waiting_messages", "buffered", "in_flight", "degraded")} == {
            "lag": 6, "waiting_messages": 9, "buffered": 5, "in_flight": 3, "degraded": [],
        }  # fmt: skip
        assert status["client_names"] == ["x", "y"]
        assert status["buffered_bytes"] == scene.of_group("x").dispatcher.bytes_held() > 0

    async def test_a_partition_says_how_each_group_stands_in_it(self, scene: Broadcasting) -> None:
        await scene.joined("x", "y")
        await scene.arrive(*range(4))
        x = await scene.of("x", 3)
        await scene.runtime.settle(Settle(ack=entries(x)[:1] + entries(x)[2:]))
        row = scene.runtime.partitions_status()[0]
        assert row["groups"] == {
            "x": {"floor": 1, "settled_above_floor": 1, "buffered": 1, "in_flight": 1},
            "y": {"floor": 0, "settled_above_floor": 0, "buffered": 4, "in_flight": 0},
        }
        assert (row["floor"], row["in_flight"], row["buffered"], row["settled_above_floor"]) == (0, 1, 5, 1)

    async def test_leases_and_clients_of_all_groups_are_shown(self, scene: Broadcasting) -> None:
        await scene.joined("x", "y")
        await scene.arrive(0, 1)
        x, y = await scene.of("x", 1), await scene.of("y", 1)
        leases = scene.runtime.live_leases(0.0, 10)
        assert [(lease.client, lease.ref.batch) for lease in leases] == [("x", x.batch), ("y", y.batch)]
        assert len(scene.runtime.live_leases(0.0, 1)) == 1
        assert {row["client"]: row["in_flight"] for row in scene.runtime.clients_status()} == {"x": 1, "y": 1}
        case, run = scene.runtime.lease_state(leases[1].ref)
        assert (case, run and run.client) == (Case.LIVE, "y")

    @groups_go
    async def test_a_group_that_has_gone_is_counted_still(self, scene: Broadcasting) -> None:
        await scene.joined("x")
        await scene.arrive(0, 1)
        await scene.ack(await scene.of("x"))
        scene.runtime.leave("x")
        await until(lambda: not scene.runtime.groups.queues())
        counters = scene.runtime.overview.counters()
        assert (counters.delivered, counters.acked) == (2, 2)

    async def test_a_full_group_is_named(self, scene: Broadcasting) -> None:
        await scene.joined("x", "y")
        scene.kafka.ends = {0: 60, 1: 0}
        await scene.arrive(*range(50))
        await scene.runtime.watch_log()
        await scene.ack(await scene.of("x", 50))
        assert scene.runtime.status()["degraded"] == ["group y: max-ack-pending stops the intake of partitions 0"]
        assert scene.runtime.overview.full() == {"max-ack-pending": {0}}
