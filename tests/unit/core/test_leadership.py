"""When a worker may act as the leader."""

from __future__ import annotations

from fanout_app.core.leadership import Leadership

LEASE, TIMEOUT = 2.0, 3.0


def elected(at: float) -> Leadership:
    """Told at this time that it leads in epoch 7."""
    leadership = Leadership(LEASE, TIMEOUT)
    leadership.answered(at, at, 7)
    return leadership


def test_nobody_acts_who_is_not_elected() -> None:
    leadership = Leadership(LEASE, TIMEOUT)
    assert leadership.epoch is None
    assert not leadership.may_act(0.0, 0.0)
    leadership.answered(1.0, 1.0, None)
    assert not leadership.may_act(1.0, 1.0)
    assert not leadership.should_resign(99.0, 0.0)


def test_the_first_act_comes_a_lease_after_the_first_answer() -> None:
    leadership = elected(10.0)
    leadership.answered(11.9, 11.8, 7)
    assert leadership.epoch == 7
    assert not leadership.may_act(11.99, 11.9)
    assert leadership.may_act(12.0, 11.9)


def test_it_acts_for_a_lease_from_the_sending_of_the_question() -> None:
    leadership = elected(10.0)
    leadership.answered(14.0, 12.5, 7)
    assert leadership.may_act(14.4, 14.4)
    assert not leadership.may_act(14.5, 14.5)
    leadership.answered(15.0, 14.9, 7)
    assert leadership.may_act(15.0, 15.0), "of the same epoch: nobody can have led meanwhile"


def test_it_stops_with_the_answer_that_it_leads_no_more() -> None:
    leadership = elected(10.0)
    leadership.answered(12.5, 12.5, None)
    assert leadership.epoch is None
    assert not leadership.may_act(12.5, 12.5)


def test_another_epoch_waits_again() -> None:
    leadership = elected(10.0)
    leadership.answered(13.0, 13.0, 9)
    assert not leadership.may_act(14.9, 14.9)
    leadership.answered(15.0, 15.0, 9)
    assert leadership.may_act(15.0, 15.0)


def test_a_suspension_stops_it_until_an_answer_to_a_later_question() -> None:
    leadership = elected(10.0)
    leadership.answered(12.4, 12.4, 7)
    leadership.suspended(12.5)
    assert not leadership.may_act(12.5, 12.5)
    leadership.answered(12.6, 12.45, 7)
    assert not leadership.may_act(12.6, 12.6), "it was asked before"
    leadership.answered(12.7, 12.6, 7)
    assert leadership.may_act(12.7, 12.7)


def test_it_stops_when_its_own_heartbeats_are_not_acknowledged() -> None:
    leadership = elected(10.0)
    leadership.answered(14.0, 14.0, 7)
    assert leadership.may_act(14.0, 12.1)
    assert not leadership.may_act(14.0, 12.0)


def test_who_cannot_be_heard_gives_the_lock_up() -> None:
    leadership = elected(10.0)
    assert not leadership.should_resign(12.9, 0.0), "it has only just been elected"
    assert leadership.should_resign(13.0, 0.0)
    assert not leadership.should_resign(13.0, 10.1)
