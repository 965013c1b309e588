"""Which of the records of the shares holds, for one who reads them in the order of the board."""

from __future__ import annotations

import pytest

from fanout_app.core.canary import CanaryState, Guard, Wanted, put
from fanout_app.core.canary_board import CanaryBoard
from fanout_app.core.canary_row import FORMAT, CanaryRecord, decode_canary, encode_canary
from fanout_app.core.errors import RowError

NOTHING = CanaryState()
FIVE = put(NOTHING, Wanted(weights={"stable": 95, "canary": 5}, by="key", guard=Guard(min_samples=7)))
TEN = put(FIVE, Wanted(weights={"stable": 90, "canary": 10}))


def board(*records: CanaryRecord) -> CanaryBoard:
    one = CanaryBoard()
    for record in records:
        one.read(record, None)
    return one


def test_the_later_state_holds_and_says_whether_it_is_another_one() -> None:
    one = CanaryBoard()
    assert one.state == NOTHING
    assert one.read(CanaryRecord(3, FIVE), None)
    assert not one.read(CanaryRecord(3, FIVE), None), "the same once more"
    assert one.read(CanaryRecord(3, TEN), None)
    assert one.state == TEN


def test_what_a_leader_of_before_writes_late_stands_there_and_does_not_hold() -> None:
    one = board(CanaryRecord(3, FIVE))
    assert not one.read(CanaryRecord(2, TEN), None)
    assert one.state == FIVE
    assert one.latest == CanaryRecord(2, TEN)
    assert one.to_write(3) == CanaryRecord(3, FIVE), "whoever leads writes what holds once more"


def test_who_leads_writes_under_its_epoch_once() -> None:
    one = board(CanaryRecord(3, FIVE))
    due = one.to_write(4)
    assert due == CanaryRecord(4, FIVE)
    assert not one.read(due, None)
    assert one.to_write(4) is None


def test_a_leader_that_is_followed_now_counts_though_epochs_have_begun_anew() -> None:
    """ZooKeeper was made anew: the epochs begin at the bottom."""
    one = board(CanaryRecord(900, FIVE))
    assert not one.read(CanaryRecord(1, TEN), None)
    assert not one.look(2), "it is another one that is followed"
    assert one.look(1)
    assert one.state == TEN


def test_before_the_first_record_there_is_nothing_to_judge() -> None:
    assert not CanaryBoard().look(5)


def test_what_the_leader_says_holds_before_it_is_read_if_it_is_later() -> None:
    one = board(CanaryRecord(3, FIVE))
    assert one.told(CanaryRecord(3, TEN))
    assert not one.told(CanaryRecord(3, FIVE)), "said long ago"
    assert one.state == TEN
    assert one.latest == CanaryRecord(3, FIVE)


def test_a_record_is_read_back_as_it_was() -> None:
    record = CanaryRecord(2**40, TEN)
    assert decode_canary(encode_canary(record, id="i", topic="t"), id="i", topic="t") == record
    with pytest.raises(RowError, match=f"record of the shares of format 0{FORMAT + 1}"):
        decode_canary(bytes((FORMAT + 1,)), id="i", topic="t")
