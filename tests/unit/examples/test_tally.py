"""The demo finds out what was lost and what came again."""

from __future__ import annotations

from examples.client import Message
from examples.demo.tally import Tally


def message(partition: int, offset: int, lease: str = "lease") -> Message:
    return Message(lease=lease, partition=partition, offset=offset, delivery_count=1, value="text")


def test_what_was_written_and_not_acked_is_missing_and_named() -> None:
    tally = Tally()
    for offset in range(10):
        tally.wrote((1, offset), 1.0)
    tally.handed_out([message(1, offset) for offset in range(10)], 1.5)
    tally.acked([message(1, 3), message(1, 5)], 2.0)
    assert tally.missing == [(1, offset) for offset in (0, 1, 2, 4, 6, 7, 8, 9)]
    assert tally.wrong() == (
        "8 messages were lost: partition 1 offset 0, partition 1 offset 1, partition 1 offset 2, "
        "partition 1 offset 4, partition 1 offset 6, 3 more"
    )
    tally.acked([message(1, offset) for offset in range(10)], 3.0)
    assert tally.missing == []
    assert tally.wrong() == ""
    assert str(tally) == "10 messages written, 10 acked; 0 came twice, 0 after their ack was answered"


def test_what_comes_again_before_its_ack_is_counted_and_right() -> None:
    tally = Tally()
    tally.wrote((0, 7), 1.0)
    tally.handed_out([message(0, 7, "first")], 1.0)
    tally.handed_out([message(0, 7, "second")], 4.0)
    tally.acked([message(0, 7, "first")], 4.1)
    tally.acked([message(0, 7, "second")], 4.2)
    assert tally.wrong() == ""
    assert "1 came twice, 0 after" in str(tally)


def test_what_a_pull_gets_that_was_sent_after_the_ack_was_answered_is_wrong() -> None:
    tally = Tally()
    tally.wrote((0, 7), 1.0)
    tally.handed_out([message(0, 7)], 1.0)
    tally.acked([message(0, 7)], 2.0)
    tally.handed_out([message(0, 7)], 1.9)
    assert tally.wrong() == ""
    tally.handed_out([message(0, 7)], 2.1)
    assert tally.wrong() == "1 messages came again although their acks had been answered"


def test_a_partition_is_served_since_a_moment_once_something_written_later_was_handed_out() -> None:
    tally = Tally()
    tally.wrote((0, 0), 1.0)
    tally.handed_out([message(0, 0)], 1.0)
    tally.wrote((0, 1), 2.5)
    tally.wrote((1, 0), 2.5)
    tally.handed_out([message(1, 0)], 2.6)
    assert not tally.is_served(0, since=2.0)
    assert tally.is_served(1, since=2.0)
    assert tally.is_served(0, since=0.5)


def test_acks_are_counted_by_partition_and_time() -> None:
    tally = Tally()
    tally.acked([message(0, 0), message(2, 0)], 1.0)
    tally.acked([message(0, 1)], 1.9)
    tally.acked([message(0, 1), message(0, 2)], 2.0)
    assert tally.acked_between(1.0, 2.0) == {0: 2, 2: 1}
