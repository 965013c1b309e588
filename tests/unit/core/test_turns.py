"""Who is handed what next."""

from __future__ import annotations

from fanout_app.core.dispatcher import Limits
from fanout_app.core.rotation import Rotation
from unit.core.desk import ACK_WAIT, Desk, batch, lease, offsets


def test_two_clients_take_turns() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2)
    assert [offsets(desk.pull(client)) for client in "ABA"] == [[0], [1], [2]]


def test_turns_go_in_order_of_joining_not_of_asking() -> None:
    desk = Desk()
    for client in "ABC":
        desk.wait(client)
    desk.fetch(0, 1, 2)
    assert desk.serve() == [("A", [0]), ("B", [1]), ("C", [2])]
    for client in "CBA":
        desk.wait(client)
    desk.fetch(3, 4, 5)
    assert desk.serve() == [("A", [3]), ("B", [4]), ("C", [5])]


def test_who_was_passed_over_is_next() -> None:
    desk = Desk()
    for client in "ABC":
        desk.wait(client)
    desk.fetch(0)
    assert desk.serve() == [("A", [0])]
    desk.wait("A")
    desk.fetch(1, 2)
    assert desk.serve() == [("B", [1]), ("C", [2])]


def test_two_pulls_of_one_name_are_one_client_with_two_hands() -> None:
    desk = Desk()
    for client in "AAB":
        desk.wait(client)
    desk.fetch(0, 1, 2)
    assert desk.serve() == [("A", [0]), ("B", [1]), ("A", [2])]


def test_a_cancelled_pull_gets_nothing_and_holds_up_nobody() -> None:
    desk = Desk()
    gone, waiting = desk.wait("A"), desk.wait("B")
    desk.queue.cancel_pull(gone, desk.now)
    desk.queue.cancel_pull(gone, desk.now)
    desk.fetch(0)
    assert desk.serve() == [("B", [0])]
    assert desk.queue.waiting_pull(waiting) is None
    desk.queue.cancel_pull(waiting, desk.now)
    assert desk.queue.clients.waiting == 0


def test_waiting_pull_can_be_looked_at() -> None:
    desk = Desk()
    pull = desk.queue.waiting_pull(desk.wait("A", 7))
    assert pull is not None
    assert (pull.client, pull.max_messages) == ("A", 7)


def test_who_was_silent_for_longer_than_its_ttl_comes_back_last() -> None:
    desk = Desk(limits=Limits(client_ttl=10.0))
    desk.fetch(0, 1, 2, 3)
    for client in "ABC":
        desk.ack(lease(desk.pull(client)))
    desk.now = 5.0
    desk.queue.cancel_pull(desk.wait("C"), desk.now)
    desk.pull("A")
    # Nobody has looked for the dead yet: B's coming back itself must find it out.
    desk.now = 10.0
    for client in "BC":
        desk.wait(client)
    desk.fetch(4, 5)
    assert desk.serve() == [("C", [4]), ("B", [5])]


def test_who_is_silent_for_less_keeps_its_place() -> None:
    desk = Desk(limits=Limits(client_ttl=10.0))
    desk.fetch(0, 1, 2, 3)
    for client in "ABC":
        desk.ack(lease(desk.pull(client)))
    desk.pass_time(9.9)
    desk.pull("A")
    for client in "CB":
        desk.wait(client)
    desk.fetch(4, 5)
    assert desk.serve() == [("B", [4]), ("C", [5])]


def test_dead_clients_are_forgotten() -> None:
    desk = Desk(limits=Limits(client_ttl=10.0))
    desk.queue.cancel_pull(desk.wait("A"), desk.now)
    desk.queue.cancel_pull(desk.wait("made up", anonymous=True), desk.now)
    holder = desk.wait("B")
    desk.pass_time(19.9)
    assert [client.name for client in desk.queue.clients] == ["B"]
    desk.queue.cancel_pull(holder, desk.now)
    desk.pass_time(20.0)
    assert len(desk.queue.clients) == 0
    assert desk.queue.next_deadline() is None


def test_only_groups_with_a_weight_are_served() -> None:
    desk = Desk()
    desk.queue.set_weights({"stable": 95, "canary": 0})
    desk.wait("C", group="canary")
    desk.wait("elsewhere", group="unheard of")
    desk.fetch(0)
    assert desk.serve() == []
    desk.queue.set_weights({"stable": 0, "canary": 5})
    assert desk.serve() == [("C", [0])]


def test_partitions_take_turns() -> None:
    desk = Desk()
    desk.assign(1)
    desk.fetch(0, 1, 2)
    desk.fetch(10, 11, 12, number=1)
    assert [offsets(desk.pull("A")) for _ in range(6)] == [[0], [10], [1], [11], [2], [12]]


def test_a_turn_lasts_for_so_many_messages_however_many_pulls_take_them() -> None:
    desk = Desk(in_a_row=4)
    desk.assign(1)
    desk.fetch(*range(9))
    desk.fetch(*range(10, 19), number=1)
    taken = [offsets(desk.pull("A", count)) for count in (1, 1, 1, 1, 3, 3, 1, 6)]
    assert taken == [[0], [1], [2], [3], [10, 11, 12], [13, 14, 15], [4], [5, 6, 7, 8, 16, 17]]


def test_a_turn_is_over_where_nothing_is_left_and_the_next_one_begins_anew() -> None:
    desk = Desk(in_a_row=4)
    desk.assign(1)
    desk.fetch(0, 1, 2)
    desk.fetch(*range(10, 16), number=1)
    assert [offsets(desk.pull("A", 1)) for _ in range(4)] == [[0], [1], [2], [10]]
    desk.fetch(3, 4)
    assert [offsets(desk.pull("A", 1)) for _ in range(5)] == [[11], [12], [13], [3], [4]]


def test_a_partition_that_is_dropped_in_its_turn_leaves_a_whole_one_to_the_next() -> None:
    desk = Desk(in_a_row=2)
    desk.assign(1)
    desk.fetch(0, 1, 2)
    desk.fetch(10, 11, 12, number=1)
    assert offsets(desk.pull("A")) == [0]
    desk.queue.drop(0, desk.now)
    assert [offsets(desk.pull("A")) for _ in range(2)] == [[10], [11]]


def test_an_answer_is_filled_from_all_partitions() -> None:
    desk = Desk()
    desk.assign(1)
    desk.fetch(0, 1)
    desk.fetch(10, 11, number=1)
    answer = desk.pull("A", 10)
    assert offsets(answer) == [0, 1, 10, 11]
    assert len(answer) == answer.live == 4


def test_what_comes_again_goes_out_before_what_is_new() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2, 3)
    first = desk.pull("A", 2)
    desk.nack(batch(first))
    assert offsets(desk.pull("B", 10)) == [0, 1, 2, 3]


def test_what_comes_again_goes_out_lowest_first() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2)
    held = [desk.pull("A") for _ in range(3)]
    for answer in reversed(held):
        desk.nack(lease(answer))
    assert [offsets(desk.pull("B")) for _ in range(3)] == [[0], [1], [2]]


def test_nothing_of_a_suspended_partition_is_handed_out() -> None:
    desk = Desk()
    desk.assign(1)
    desk.fetch(0, 1)
    desk.fetch(10, number=1)
    desk.nack(lease(desk.pull("A")))
    desk.queue.suspend()
    desk.queue.resume(1)
    desk.wait("B", 10)
    assert desk.serve() == [("B", [10])]
    desk.wait("B", 10)
    assert desk.serve() == []
    desk.queue.resume(0)
    assert desk.serve() == [("B", [0, 1])]


def test_a_waiting_client_is_woken_by_an_expiry() -> None:
    """D3: poll(B) waits, A holds the only message and never acks."""
    desk = Desk()
    desk.fetch(0)
    desk.pull("A")
    desk.wait("B")
    desk.pass_time(ACK_WAIT - 0.1)
    assert desk.serve() == []
    desk.pass_time(0.1)
    assert desk.serve() == [("B", [0])]


def test_who_failed_it_gets_it_again_a_second_later_if_nobody_else_is_there() -> None:
    desk = Desk()
    desk.fetch(0)
    desk.pull("A")
    desk.wait("A")
    desk.pass_time(ACK_WAIT)
    assert desk.serve() == []
    assert desk.queue.next_deadline() == ACK_WAIT + 1.0
    desk.pass_time(1.0)
    assert desk.serve() == [("A", [0])]


def test_who_failed_it_stands_back_for_as_long_as_another_waits() -> None:
    desk = Desk()
    desk.fetch(0)
    desk.nack(lease(desk.pull("A")), delay=5.0)
    desk.pass_time(5.0)
    desk.wait("A")
    desk.wait("B")
    assert desk.serve() == [("B", [0])]


def test_who_may_not_be_given_more_does_not_count_as_another() -> None:
    desk = Desk(limits=Limits(client_limit=1))
    desk.fetch(0, 1)
    desk.pull("B")
    mine = desk.pull("A")
    desk.wait("B")
    desk.nack(lease(mine))
    desk.wait("A")
    assert desk.serve() == []
    desk.pass_time(1.0)
    assert desk.serve() == [("A", [1])]


def test_a_client_that_failed_many_is_given_what_others_failed() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2, 3)
    mine, other = desk.pull("A", 3), desk.pull("B")
    desk.nack(batch(mine))
    desk.now = 0.5
    desk.nack(lease(other))
    assert offsets(desk.pull("A", 10)) == [3]
    desk.wait("A", 10)
    assert desk.serve() == []
    desk.now = 1.0
    assert desk.serve() == [("A", [0, 1, 2])]


def test_bars_of_one_client_end_one_by_one() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    early, late = desk.pull("A"), desk.pull("A")
    desk.nack(lease(late))
    desk.now = 0.5
    desk.nack(lease(early))
    desk.wait("A", 10)
    desk.now = 1.0
    assert desk.serve() == [("A", [1])]
    desk.wait("A", 10)
    assert desk.serve() == []
    desk.now = 1.5
    assert desk.serve() == [("A", [0])]


def test_who_leaves_is_told_of_its_pulls_and_a_stranger_of_nothing() -> None:
    desk = Desk()
    pulls = [desk.wait("A"), desk.wait("A")]
    assert desk.queue.leave("A", desk.now) == pulls
    assert desk.queue.leave("A", desk.now) is None
    desk.queue.cancel_pull(desk.wait("B"), desk.now)
    assert desk.queue.leave("B", desk.queue.limits.client_ttl) is None, "it has been silent for too long"


class TestRotation:
    """What a client does while it is passed over."""

    def test_one_that_stops_waiting_while_it_is_passed_over_keeps_its_place(self) -> None:
        rotation = Rotation()
        for pull, client in enumerate("AB"):
            rotation.wait(client, pull)
        rotation.bench("A")
        rotation.stop_waiting("A", 0)
        assert list(rotation.turns()) == [("B", 1)]
        rotation.unbench("A")
        rotation.unbench("A")
        assert list(rotation.turns()) == [("B", 1)]
        rotation.wait("A", 2)
        assert list(rotation.turns()) == [("A", 2), ("B", 1)]

    def test_one_that_is_trusted_again_while_it_does_not_wait_is_found_when_it_does(self) -> None:
        rotation = Rotation()
        for client in "AB":
            rotation.doubt(client)
        rotation.trust("A")
        assert list(rotation.turns(trusted=True)) == []
        rotation.wait("A", 1)
        assert list(rotation.turns(trusted=True)) == [("A", 1)]

    def test_where_nobody_waits_there_is_no_other_to_go_on_with(self) -> None:
        rotation = Rotation()
        rotation.jump(0.5)
        for pull, client in enumerate("AB"):
            rotation.wait(client, pull)
        assert list(rotation.turns()) == [("A", 0), ("B", 1)]
