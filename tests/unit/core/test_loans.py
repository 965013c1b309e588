"""An answer on loan has a way to go to its client: it goes back uncounted unless it is confirmed in time."""

from __future__ import annotations

import pytest

from fanout_app.core.lease import Answer
from fanout_app.core.requests import Pull, Verb
from unit.core.desk import Desk, entry, lease, leases

LOAN = 2.0


def lent(desk: Desk, client: str = "far", count: int = 1, ack_wait: float = 30.0) -> Answer:
    pull = Pull(client=client, max_messages=count, ack_wait=ack_wait)
    number = desk.queue.add_pull(desk.now, pull, on_loan=LOAN)
    desk.serve()
    return desk.answers.pop(number)


def test_one_that_nobody_confirms_goes_to_the_next_client_uncounted() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    lent(desk, count=2)
    desk.wait("near", 5)
    desk.pass_time(LOAN - 0.1)
    assert desk.serve() == []

    desk.pass_time(0.1)

    assert desk.serve() == [("near", [0, 1])]
    assert desk[0].ledger.failures == {}


def test_one_whose_lease_is_over_before_anything_is_heard_of_it_is_not_counted_either() -> None:
    """Nobody has said that the client has seen it: the worker that was to write it may be stopped."""
    desk = Desk()
    desk.fetch(0)
    lent(desk, ack_wait=0.5)
    desk.wait("near")

    desk.pass_time(0.5)

    assert desk.serve() == [("near", [0])]
    assert desk[0].ledger.failures == {}


def test_one_whose_lease_is_over_while_its_client_takes_it_is_counted() -> None:
    desk = Desk()
    desk.fetch(0)
    desk.queue.leases.lend(lent(desk, ack_wait=0.5), desk.now + LOAN, being_written=True)
    desk.wait("near")

    desk.pass_time(0.5)

    assert desk.serve() == [("near", [0])]
    assert desk[0].ledger.failures == {0: 1}


def test_one_that_is_confirmed_lasts_as_long_as_any_lease() -> None:
    desk = Desk()
    desk.fetch(0)
    desk.queue.leases.confirm(lent(desk))
    desk.wait("near")

    desk.pass_time(29.9)
    assert desk.serve() == []
    desk.pass_time(0.1)
    assert desk.serve() == [("near", [0])]
    assert desk[0].ledger.failures == {0: 1}


@pytest.mark.parametrize("verb", Verb)
def test_a_token_shows_that_the_client_has_the_whole_answer(verb: Verb) -> None:
    """It may have gone to the owner itself, which the worker that wrote the answer does not reach."""
    desk = Desk()
    desk.fetch(0, 1)
    answer = lent(desk, count=2)
    desk.settle(verb, entry(leases(answer)[0], ack_wait=20.0, delay=20.0))
    desk.wait("near", 2)

    desk.pass_time(2 * LOAN)

    assert desk.serve() == []
    assert not answer.provisional.set


def test_one_that_is_extended_and_then_let_go_is_counted() -> None:
    desk = Desk()
    desk.fetch(0)
    desk.settle(Verb.EXTEND, entry(lease(lent(desk)), ack_wait=0.5))
    desk.wait("near")

    desk.pass_time(0.5)

    assert desk.serve() == [("near", [0])]
    assert desk[0].ledger.failures == {0: 1}


def test_one_that_comes_back_is_first_in_the_queue() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2)
    desk.queue.release(lent(desk), desk.now)
    desk.wait("near", 2)

    assert desk.serve() == [("near", [0, 1])]


def test_a_loan_that_is_renewed_goes_back_later() -> None:
    desk = Desk()
    desk.fetch(0)
    answer = lent(desk)
    desk.pass_time(1.5)
    desk.queue.leases.lend(answer, desk.now + LOAN)
    desk.wait("near")
    desk.pass_time(1.9)
    assert desk.serve() == []

    desk.pass_time(0.1)

    assert desk.serve() == [("near", [0])]


def test_what_was_acked_before_it_was_confirmed_stays_settled() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    answer = lent(desk, count=2)
    run = answer.runs[0]
    desk.queue.leases.settle_leased(run, [run.message(0)], desk.now)
    desk.wait("near", 2)

    desk.pass_time(LOAN)

    assert desk.serve() == [("near", [1])]


def test_two_owners_that_met_at_one_client_do_not_meet_at_the_next_one() -> None:
    desk = Desk()
    desk.queue._jitter = lambda: 0.5
    for client in "ABCDEF":
        desk.queue.add_pull(desk.now, Pull(client=client), on_loan=LOAN)
    desk.fetch(0, 1)
    (first, second) = desk.queue.serve(desk.now)
    assert (first.answer.client, second.answer.client) == ("A", "B")

    desk.queue.refuse(second.answer, desk.now)

    assert [answer.client for _, answer in desk.queue.serve(desk.now)] == ["F"]
