"""Ownership ends with the first sign of a rebalance, and is not believed without recent proof."""

from __future__ import annotations

from fanout_app.kafka.membership import Membership

SESSION = 6.0


class Coordinator:
    confirmed_at = 100.0


def membership() -> tuple[Membership, Coordinator]:
    coordinator = Coordinator()
    member = Membership(SESSION, lambda: coordinator.confirmed_at)
    member.rebalance_began()
    member.assigned()
    assert member.rebalance_ended(member.term())
    return member, coordinator


def test_nothing_is_owned_before_the_first_assignment() -> None:
    member = Membership(SESSION, lambda: 100.0)
    assert not member.holds(member.term(), 100.0)


def test_an_owner_is_believed_until_a_second_before_its_session_ends() -> None:
    member, _ = membership()
    assert member.holds(member.term(), 104.9)
    assert not member.holds(member.term(), 105.0), "others may be given its partitions from 106 on"


def test_a_heartbeat_that_was_answered_prolongs_it() -> None:
    member, coordinator = membership()
    coordinator.confirmed_at = 103.0
    assert member.holds(member.term(), 107.9)


def test_a_rebalance_that_has_just_begun_does_not_make_it_doubtful_who_the_owner_was() -> None:
    member, _ = membership()
    member.rebalance_began()
    assert not member.holds(member.term(), 100.1)
    assert member.trusted(104.9)
    assert not member.trusted(105.0)


def test_a_rebalance_ends_it_at_once() -> None:
    member, _ = membership()
    term = member.term()
    member.rebalance_began()
    assert not member.holds(term, 100.0)
    assert not member.holds(member.term(), 100.0)


def test_what_was_begun_in_an_earlier_term_is_not_proven_by_a_later_one() -> None:
    member, _ = membership()
    term = member.term()
    member.rebalance_began()
    member.assigned()
    assert member.rebalance_ended(member.term())
    assert member.holds(member.term(), 100.0)
    assert not member.holds(term, 100.0)


def test_the_end_of_a_rebalance_that_was_overtaken_does_not_count() -> None:
    member, _ = membership()
    member.rebalance_began()
    term = member.term()
    member.rebalance_began()
    assert not member.rebalance_ended(term)
    assert not member.holds(member.term(), 100.0)


def test_a_recovery_that_ends_in_the_next_rebalance_does_not_end_that() -> None:
    """It knows of no other assignment than its own until the next one is made."""
    member, _ = membership()
    member.rebalance_began()
    assert not member.rebalance_ended(member.term())
    assert not member.holds(member.term(), 100.0)
    member.assigned()
    assert member.rebalance_ended(member.term())
