"""Messages without a body: when they are read, by what is left of the others meanwhile."""

from __future__ import annotations

from fanout_app.core.dispatcher import Limits
from fanout_app.core.sleepers import Sleeper, Sleepers
from support.messages import messages
from unit.core.desk import Desk, lease, leases

LONG = 60.0


def asleep(*offsets: int) -> Sleepers:
    sleepers = Sleepers()
    for offset in offsets:
        sleepers.add(offset, Sleeper("A", LONG, LONG))
    return sleepers


def test_they_are_read_lowest_first_and_not_twice() -> None:
    sleepers = asleep(3, 1, 2)
    assert not sleepers.due
    sleepers.wake((1, 2, 3))
    assert sleepers.due
    assert sleepers.to_read(2) == [1, 2]
    assert sleepers.to_read(5) == [3], "the others are being read"
    assert not sleepers.due
    assert sorted(sleepers) == [1, 2, 3], "they are here until they were read"


def test_one_that_is_settled_meanwhile_is_not_read_and_what_is_read_for_it_goes_nowhere() -> None:
    sleepers = asleep(1, 2, 3)
    sleepers.wake((1, 2, 3))
    sleepers.discard(1)
    assert sleepers.to_read(1) == [2]
    sleepers.discard(2)
    assert sleepers.awake(2) is None
    sleepers.discard(3)
    assert not sleepers.due


def test_one_that_is_settled_before_its_time_does_not_wake() -> None:
    sleepers = asleep(1)
    sleepers.discard(1)
    sleepers.wake((1,))
    assert sleepers.to_read(5) == []


def test_what_could_not_be_read_is_due_still_unless_it_was_settled() -> None:
    sleepers = asleep(1, 2)
    sleepers.wake((1, 2))
    assert sleepers.to_read(5) == [1, 2]
    sleepers.discard(1)
    sleepers.not_read((1, 2))
    assert sleepers.to_read(5) == [2]
    assert sleepers.awake(2) == Sleeper("A", LONG, LONG)
    assert len(sleepers) == 0


def resting(*offsets: int, limits: Limits | None = None) -> Desk:
    """A desk with messages that A has nacked for long, whose time has come now, and where B waits."""
    desk = Desk(limits=limits)
    desk.fetch(*offsets)
    for ref in leases(desk.pull("A", len(offsets))):
        desk.nack(ref, LONG)
    desk.pass_time(LONG)
    desk.wait("B", 10)
    return desk


class TestAtTheDispatcher:
    def test_it_says_when_one_is_due_and_looks_at_no_partition_in_vain(self) -> None:
        desk = resting(0)
        assert desk.resting.anything_due()
        assert desk.resting.to_read(10, desk.now) == {0: [0]}
        assert not desk.resting.anything_due()
        assert desk.queue.leases.waking == set()

    def test_one_of_a_partition_that_has_gone_is_not_due(self) -> None:
        desk = resting(0)
        desk.queue.drop(0, desk.now)
        assert not desk.resting.anything_due()

    def test_nothing_is_read_while_all_is_paused_or_nobody_is_there(self) -> None:
        desk = resting(0)
        desk.queue.paused = True
        assert desk.resting.to_read(10, desk.now) == {}
        desk.queue.paused = False
        desk.queue.leave("B", desk.now)
        assert desk.resting.to_read(10, desk.now + LONG) == {}
        desk.wait("B")
        assert desk.resting.to_read(10, desk.now) == {0: [0]}

    def test_what_could_not_be_read_is_asked_for_again(self) -> None:
        desk = resting(0, 1)
        assert desk.resting.to_read(10, desk.now) == {0: [0, 1]}
        assert not desk.resting.anything_due()
        desk.resting.not_read(0, [0, 1])
        assert desk.resting.anything_due()
        assert desk.resting.to_read(10, desk.now) == {0: [0, 1]}
        desk.resting.not_read(7, [0])  # gone meanwhile

    def test_what_was_read_for_another_owner_or_another_era_is_left_alone(self) -> None:
        desk = resting(0)
        desk.resting.to_read(10, desk.now)
        found = {0: messages([0])[0]}
        assert desk.resting.awake(7, 0, [0], {}, desk.now) == 0
        assert desk.resting.awake(0, 1, [0], {}, desk.now) == 0
        assert desk.serve() == []
        assert desk.resting.awake(0, 0, [0], found, desk.now) == 0
        assert desk.serve() == [("B", [0])]

    def test_one_that_is_acked_while_it_is_read_is_neither_handed_out_nor_lost(self) -> None:
        desk = Desk()
        desk.fetch(0)
        ref = lease(desk.pull("A"))
        desk.nack(ref, LONG)
        desk.pass_time(LONG)
        desk.wait("B")
        desk.resting.to_read(10, desk.now)
        desk.ack(ref)
        assert desk.resting.awake(0, 0, [0], {0: messages([0])[0]}, desk.now) == 0
        assert desk.serve() == []
        assert (desk[0].ledger.floor, desk[0].bytes_held) == (1, 0)
