"""What people are told of messages that wait for others of their key."""

from __future__ import annotations

import pytest

from fanout_app import overview
from fanout_app.core.dispatcher import Limits
from support.messages import FakeMessage
from unit.core.desk import Desk, lease, leases


def ordered(keys: str, *, more: int = 1, room: int = 4) -> Desk:
    """A desk that has read messages of these keys, one a letter; so many more are in the log."""
    desk = Desk(limits=Limits(order_by_key=True, max_ack_pending=room))
    found = [FakeMessage(offset, key=key.encode()) for offset, key in enumerate(keys)]
    assert desk.queue.offer(0, 0, len(keys), found)
    desk[0].log_end = len(keys) + more
    return desk


def test_a_window_full_of_blocked_messages_is_said_with_what_they_wait_for() -> None:
    desk = ordered("baaaa")
    desk.pull("A", 10)
    (said,) = overview.full_of_blocked(desk.queue)
    assert said == (
        "partition 0 is full of messages that wait for earlier ones of their keys (--order key), "
        "the first of these has offset 1"
    )
    (row,) = overview.partitions(desk.queue, "w")
    assert (row["blocked"], row["buffered"], row["in_flight"], row["full"]) == (3, 3, 2, "max-ack-pending")


@pytest.mark.parametrize(
    ("keys", "more", "room", "taken"),
    [("aaaa", 0, 4, True), ("aaaa", 1, 5, True), ("aaaa", 1, 4, False), ("abcd", 1, 4, True), ("bcaa", 1, 4, True)],
    ids=["nothing more is in the log", "there is room", "one can be handed out", "none is blocked", "most are out"],
)
def test_it_is_not_said_of_others(keys: str, more: int, room: int, taken: bool) -> None:
    desk = ordered(keys, more=more, room=room)
    if taken:
        desk.pull("A", 10)
    assert overview.full_of_blocked(desk.queue) == []


def test_it_is_said_when_it_is_the_buffer_that_is_full() -> None:
    desk = ordered("aaaa", room=100)
    desk.pull("A", 10)
    assert overview.full_of_blocked(desk.queue) == []
    desk.queue.limits = Limits(order_by_key=True, buffer_bytes=desk[0].bytes_held)
    assert len(overview.full_of_blocked(desk.queue)) == 1


def test_it_is_not_said_of_one_whose_first_message_comes_back() -> None:
    desk = ordered("aaaa")
    answer = desk.pull("A", 10)
    assert len(overview.full_of_blocked(desk.queue)) == 1
    desk.nack(lease(answer), 0.0)
    assert overview.full_of_blocked(desk.queue) == []


def test_without_the_order_nothing_is_blocked() -> None:
    desk = Desk(limits=Limits(max_ack_pending=2))
    desk.fetch(0, 1)
    desk[0].log_end = 5
    desk.pull("A", 10)
    assert overview.full_of_blocked(desk.queue) == []
    assert overview.partitions(desk.queue, "w")[0]["blocked"] == 0


def test_lag_is_what_is_not_settled_and_not_how_far_it_is_to_the_end() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2, 3)
    desk[0].log_end = 6
    taken = leases(desk.pull("A", 10))
    assert overview.totals(desk.queue)["lag"] == 6
    desk.ack(taken[1], taken[3])
    assert overview.totals(desk.queue)["lag"] == 4
    assert desk[0].ledger.floor == 0
    desk.ack(taken[0])
    assert (overview.totals(desk.queue)["lag"], desk[0].ledger.floor) == (3, 2)


def test_lag_counts_what_was_fetched_since_the_end_of_the_log_was_looked_up() -> None:
    desk = Desk()
    desk[0].log_end = 1
    desk.fetch(0, 1, 2, 3)
    assert overview.totals(desk.queue)["lag"] == 4
