"""Who let a lease end stands back from what others failed, until it acks: the next one may well let it end, too."""

from __future__ import annotations

import pytest

from fanout_app.core.requests import Verb
from fanout_app.core.rotation import Rotations
from unit.core.desk import ACK_WAIT, Desk, batch, entry, lease, offsets


def dead(desk: Desk, *clients: str) -> None:
    """Each is handed a message that it does not ack, and waits for more when all these leases have ended."""
    for client in clients:
        assert offsets(desk.pull(client))
    desk.pass_time(ACK_WAIT)
    for client in clients:
        desk.wait(client)


def test_a_message_does_not_go_from_one_that_is_dead_to_the_next() -> None:
    desk = Desk()
    desk.fetch(*range(11))
    names = [f"dead {number}" for number in range(10)]
    for name in names:
        desk.pull(name)
    desk.ack(lease(desk.pull("alive")))
    for name in names:
        desk.wait(name)
    desk.wait("alive", 10)
    desk.pass_time(ACK_WAIT)
    assert desk.serve() == [("alive", [*range(10)])]


def test_where_nobody_else_comes_each_is_handed_what_the_other_failed_a_second_later() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    dead(desk, "A", "B")
    assert desk.serve() == []
    assert desk.queue.next_deadline() == ACK_WAIT + 1.0
    desk.pass_time(1.0)
    assert desk.serve() == [("A", [1]), ("B", [0])]


def test_who_is_at_work_comes_before_those_that_always_wait() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    dead(desk, "A", "B")
    desk.fetch(2)
    assert desk.serve() == [("A", [2])]
    desk.pass_time(0.5)
    desk.wait("A")
    desk.wait("C", 10)
    assert desk.serve() == [("C", [0, 1])]


def test_what_nobody_has_failed_is_for_all_at_once() -> None:
    desk = Desk()
    desk.fetch(0)
    desk.pull("A")
    desk.pass_time(ACK_WAIT)
    assert offsets(desk.pull("B")) == [0]
    desk.fetch(1)
    desk.queue.release(desk.pull("B"), desk.now)
    desk.wait("A")
    assert desk.serve() == [("A", [1])]


def test_of_what_nobody_has_failed_it_is_handed_its_share() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    dead(desk, "A", "B")
    desk.fetch(2, 3, 4)
    desk.wait("C", 10)
    desk.wait("D", 10)
    assert desk.serve() == [("C", [0, 1, 2, 3, 4])]
    desk.fetch(5, 6, 7)
    assert desk.serve() == [("D", [5, 6, 7])]
    desk.fetch(8, 9, 10)
    assert desk.serve() == [("A", [8]), ("B", [9])]


@pytest.mark.parametrize(("verb", "next_one"), [(Verb.ACK, "A"), (Verb.NACK, "C")])
def test_an_ack_makes_up_for_it_and_a_nack_does_not(verb: Verb, next_one: str) -> None:
    desk = Desk()
    desk.fetch(0)
    desk.pull("A")
    desk.pass_time(ACK_WAIT)
    desk.fetch(1)
    another = desk.pull("A")
    assert offsets(another) == [1]
    desk.settle(verb, entry(batch(another), delay=1000.0))
    for client in "CB":
        failed = desk.pull(client)
        assert offsets(failed) == [0]
        desk.nack(lease(failed), delay=0.0)
    desk.wait("A")
    desk.wait("C")
    assert desk.serve() == [(next_one, [0])]


def test_it_stands_back_in_a_group_that_it_comes_to_later() -> None:
    desk = Desk()
    desk.queue.set_weights({"stable": 0, "canary": 1})
    desk.fetch(0, 1)
    for client in "AB":
        desk.wait(client, group="canary")
    assert desk.serve() == [("A", [0]), ("B", [1])]
    desk.pass_time(ACK_WAIT)
    desk.queue.set_weights({"stable": 1, "canary": 0})
    desk.wait("A", group="stable")
    desk.wait("C", 10, group="stable")
    assert desk.serve() == [("C", [0, 1])]


def test_what_the_only_one_that_acks_has_nacked_goes_to_one_that_does_not() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2)
    desk.pull("B")
    desk.pull("C")
    desk.now = 1.0
    mine = desk.pull("A")
    desk.pass_time(ACK_WAIT - 1.0)
    desk.nack(lease(mine))
    desk.wait("A", 10)
    assert desk.serve() == [("A", [0, 1])]
    for client in "ABC":
        desk.wait(client)
    assert desk.serve() == []
    desk.pass_time(1.0)
    assert desk.serve() == [("B", [2])]


def test_where_two_that_ack_wait_what_one_has_nacked_goes_to_the_other() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    desk.pull("B")
    desk.now = 1.0
    mine = desk.pull("A")
    desk.pass_time(ACK_WAIT - 1.0)
    assert offsets(desk.pull("C")) == [0]
    desk.nack(lease(mine))
    for client in "ABC":
        desk.wait(client)
    assert desk.serve() == [("C", [1])]


def test_who_is_trusted_again_while_it_waits_is_found_at_once() -> None:
    rotation = Rotations().of("stable")
    for pull, client in enumerate("ABC"):
        rotation.doubt(client)
        rotation.wait(client, pull)
    rotation.trust("B")
    assert list(rotation.turns(trusted=True)) == [("B", 1)]
    assert rotation.stands_back_for("C") == ("B",)
