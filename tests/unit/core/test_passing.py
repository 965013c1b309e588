"""What goes through to the groups that each get every message, and where these start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.group_row import Slot
from fanout_app.core.group_start import start_groups
from fanout_app.core.lease import HandedOver
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.parked import REDRIVEN_FOR, address
from fanout_app.core.passing import Passing
from fanout_app.core.requests import Pull
from fanout_app.core.start import Known, Start, decide
from support.messages import FakeMessage, messages


def group(passing: Passing, name: str, floor: int = 0, **more: Any) -> Dispatcher:
    batches = iter(range(1, 1000))
    one = Dispatcher(passing.limits, new_batch=batches.__next__, jitter=lambda: 0.0)
    one.set_weights({name: 100})
    passing.groups[name] = one
    passing.assign_group(one, 0, LedgerSnapshot(floor=floor, **more))
    return one


def pulled(one: Dispatcher, name: str, count: int = 100) -> list[int]:
    one.add_pull(0.0, Pull(client=f"of-{name}", group=name, max_messages=count))
    return [message.offset for _, answer in one.serve(0.0) for run in answer.runs for message in run.messages]


@pytest.fixture
def passing() -> Passing:
    passing = Passing(Limits(max_ack_pending=5), address("a", "t"))
    passing.assign(0, LedgerSnapshot(floor=10))
    return passing


def offered(passing: Passing, first: int, after: int) -> None:
    assert passing.offer(0, first, after, messages(range(first, after)))


def test_each_group_gets_what_it_has_not_settled_of_what_is_read_from_the_lowest_floor_on(passing: Passing) -> None:
    early, late = group(passing, "early", 10), group(passing, "late", 12, settled=frozenset({13}))
    passing.resume(0)
    offered(passing, 10, 15)
    assert pulled(early, "early") == [10, 11, 12, 13, 14]
    assert pulled(late, "late") == [12, 14]


def test_a_group_that_comes_starts_at_the_newest_message_offered(passing: Passing) -> None:
    first = group(passing, "first", 10)
    passing.resume(0)
    offered(passing, 10, 13)
    second = group(passing, "second", passing.partitions[0].next_offset)
    passing.resume(0)
    offered(passing, 13, 15)
    assert pulled(first, "first") == [10, 11, 12, 13, 14]
    assert pulled(second, "second") == [13, 14]


def test_what_was_redriven_for_one_group_is_passed_over_by_the_others(passing: Passing) -> None:
    one, other = group(passing, "one", 10), group(passing, "other", 10)
    passing.resume(0)
    again = [
        FakeMessage(10, headers=(("h", None), (REDRIVEN_FOR, b"a/t/one"))),
        FakeMessage(11, headers=((REDRIVEN_FOR, b"a/t/\xff"),)),
        FakeMessage(12, headers=((REDRIVEN_FOR, b"a/t/one"), (REDRIVEN_FOR, b"a/t/other"))),
        FakeMessage(13),
    ]
    assert passing.offer(0, 10, 14, again)
    assert (pulled(one, "one"), pulled(other, "other")) == ([10, 13], [12, 13])
    assert (one.partitions[0].ledger.floor, other.partitions[0].ledger.floor) == (10, 12)
    assert one.partitions[0].ledger.is_settled(11)


@pytest.mark.parametrize(
    "headers",
    [
        ((REDRIVEN_FOR, b"a/t/one"), ("fanout-redriven-from", b"0/3")),
        ((REDRIVEN_FOR, b"a/t/one"), ("added-by", b"a client that wrote it on")),
        ((REDRIVEN_FOR, b"another/t/one"),),
        ((REDRIVEN_FOR, b"a/another/one"),),
        ((REDRIVEN_FOR, None),),
    ],
    ids=["redriven again for anybody", "written on", "of another id", "of another topic", "of nobody"],
)
def test_what_only_looks_as_if_it_was_redriven_for_one_group_is_for_all(passing: Passing, headers: Any) -> None:
    one, other = group(passing, "one", 10), group(passing, "other", 10)
    passing.resume(0)
    assert passing.offer(0, 10, 11, [FakeMessage(10, headers=headers)])
    assert (pulled(one, "one"), pulled(other, "other")) == ([10], [10])


def test_a_group_may_have_a_name_with_slashes(passing: Passing) -> None:
    one, other = group(passing, "a/t/one", 10), group(passing, "one", 10)
    passing.resume(0)
    assert passing.offer(0, 10, 11, [FakeMessage(10, headers=((REDRIVEN_FOR, address("a", "t", "a/t/one")),))])
    assert (pulled(one, "a/t/one"), pulled(other, "one")) == ([10], [])


def test_a_floor_that_is_below_the_partitions_own_is_read_from(passing: Passing) -> None:
    passing.start_at(0, 7)
    low = group(passing, "low", 7)
    passing.resume(0)
    offered(passing, 7, 12)
    assert pulled(low, "low") == [7, 8, 9, 10, 11]
    passing.start_at(0, 400)
    assert passing.partitions[0].next_offset == 12


def test_nothing_is_fetched_for_nobody_nor_beyond_the_room_of_the_slowest(passing: Passing) -> None:
    passing.resume(0)
    assert not passing.wants(0, 0.0), "there is no group"
    fast, slow = group(passing, "fast", 10), group(passing, "slow", 10)
    passing.resume(0)
    assert not passing.wants(0, 0.0), "others may have to begin with it"
    passing.partitions[0].ledger.open()
    assert passing.wants(0, 0.0), "a group need not be there at every moment"
    offered(passing, 10, 15)
    assert not passing.wants(0, 0.0)
    fast.partitions[0].settle(range(10, 15))
    for offset in range(10, 15):
        fast.partitions[0].forget(offset)
    assert not passing.wants(0, 0.0), "the other one is full still"
    del passing.groups["slow"], slow
    assert passing.wants(0, 0.0)
    passing.paused = True
    assert not passing.wants(0, 0.0)


def test_what_happens_to_a_partition_happens_at_every_group(passing: Passing) -> None:
    one = group(passing, "one", 10)
    passing.resume(0)
    passing.partitions[0].log_end = 90
    assert one.partitions[0].log_end == 90
    assert passing.log_starts_at(0, 20) == 10
    assert (one.partitions[0].ledger.floor, one.partitions[0].next_offset, passing.partitions[0].next_offset) == (
        20, 20, 20,
    )  # fmt: skip
    assert passing.partitions[0].ledger.floor == 10, "it is the groups' floors that it follows"
    passing.suspend()
    assert one.partitions[0].suspended
    passing.drop(0, 0.0)
    assert not one.partitions
    assert not passing.partitions


KNOWN = Known(
    row=LedgerSnapshot(era=2, floor=10, tenure=3),
    committed=8,
    committed_era=2,
    mirror=None,
    log_start=0,
    log_end=1000,
    first_start=0,
)


def started(known: Known, **more: Any) -> tuple[Start, LedgerSnapshot]:
    start = decide(known)
    slot = Slot(1, "x", LedgerSnapshot(**{"era": 2, "floor": 12, "settled": frozenset({14}), "tenure": 5, **more}))
    slots = start_groups(start, known, {4: slot, 5: Slot(7)})
    assert slots[5] == Slot(7)
    assert (slots[4].claim, slots[4].group) == (1, "x")
    return start, slots[4].ledger


class TestStarts:
    def test_a_group_goes_on_where_it_was(self) -> None:
        handed_over = (HandedOver(first=12, span=1, left=1.0, client="c"),)
        start, ledger = started(KNOWN, handed_over=handed_over)
        assert (ledger.era, ledger.floor, set(ledger.settled), ledger.handed_over) == (2, 12, {14}, handed_over)
        assert (start.snapshot.tenure, ledger.tenure) == (5, 5), "the next row is to count above all that were read"

    def test_a_floor_of_the_partition_that_is_higher_passes_nothing_over(self) -> None:
        _, ledger = started(replace(KNOWN, row=LedgerSnapshot(era=2, floor=50)))
        assert ledger.floor == 12

    def test_an_offset_that_we_have_committed_does(self) -> None:
        _, ledger = started(replace(KNOWN, row=LedgerSnapshot(era=2, floor=50), committed=20))
        assert (ledger.floor, set(ledger.settled)) == (20, set())

    def test_an_operators_offset_passes_over_what_is_below_it(self) -> None:
        _, ledger = started(replace(KNOWN, committed=30, committed_era=None))
        assert (ledger.era, ledger.floor) == (2, 30)

    def test_an_operators_offset_that_goes_back_begins_an_era(self) -> None:
        start, ledger = started(replace(KNOWN, committed=5, committed_era=None))
        assert (ledger.era, ledger.floor, set(ledger.settled), ledger.handed_over) == (3, 5, set(), ())
        assert start.snapshot.era == 3

    def test_retention_passes_over_what_is_gone(self) -> None:
        _, ledger = started(replace(KNOWN, log_start=40))
        assert ledger.floor == 40

    def test_of_an_earlier_era_nothing_counts(self) -> None:
        _, ledger = started(KNOWN, era=1, floor=400)
        assert (ledger.era, ledger.floor, set(ledger.settled)) == (2, 10, set())


def test_a_fetch_that_does_not_continue_the_chain_goes_to_nobody(passing: Passing) -> None:
    one = group(passing, "one", 10)
    passing.resume(0)
    assert not passing.offer(0, 11, 13, messages((11, 12)))
    assert not passing.offer(0, 10, 9, [])
    assert not passing.offer(7, 10, 11, messages((10,))), "a partition that is not here"
    assert pulled(one, "one") == []
    assert passing.partitions[0].next_offset == one.partitions[0].next_offset == 10


def test_a_fetch_of_nothing_but_markers_settles_their_offsets_for_each(passing: Passing) -> None:
    one = group(passing, "one", 10)
    passing.resume(0)
    assert passing.offer(0, 10, 13, [])
    assert (passing.partitions[0].next_offset, one.partitions[0].ledger.floor) == (13, 13)


def test_a_group_without_a_ledger_in_a_partition_has_no_part_in_it(passing: Passing) -> None:
    passing.assign(1, LedgerSnapshot(floor=10))
    one = group(passing, "one", 10)
    passing.resume(0)
    passing.resume(1)
    assert passing.offer(1, 10, 12, messages((10, 11)))
    assert one.partitions.keys() == {0}
    assert pulled(one, "one") == []


def test_what_was_handed_over_in_a_time_of_balance_is_held_back_for_nobody(passing: Passing) -> None:
    assert passing.take_over(0, [HandedOver(first=10, span=1, left=9.0, client="c", batch=1)], 0.0) == 0
    assert passing.partitions[0].held == 0
