"""What an owner leaves in its last row for the next one, and what of it does not fit."""

from __future__ import annotations

from fanout_app.core.dispatcher import Limits
from fanout_app.core.handover import fit
from fanout_app.core.ledger_row import encode_row
from unit.core.desk import ACK_WAIT, Desk, leases
from unit.core.two_owners import held, left_by, moved, run_of


def test_nothing_is_left_of_what_has_ended() -> None:
    old, refs = held()
    old.ack(refs[1])
    old.now += ACK_WAIT  # nobody has rung yet
    assert left_by(old) == []


def test_an_answer_on_loan_is_not_left_before_it_is_confirmed() -> None:
    desk = Desk()
    desk.fetch(0)
    answer = desk.pull("A")
    desk.queue.leases.lend(answer, desk.now + 2.0)
    assert left_by(desk) == []
    desk.queue.leases.confirm(answer)
    assert [run.first for run in left_by(desk)] == [0]


def test_holes_and_acks_do_not_break_a_run() -> None:
    desk = Desk()
    desk.fetch(0, 2, 3, 9)
    refs = leases(desk.pull("A", 4))
    desk.ack(refs[2])
    (run,) = left_by(desk)
    assert (run.first, run.span, run.left, run.client, run.group) == (0, 10, ACK_WAIT, "A", "stable")
    new = moved(desk)
    assert list(new[0].in_flight) == [0, 2, 9]


def test_a_message_between_two_of_one_answer_that_another_one_has_breaks_the_run() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2)
    first = leases(desk.pull("A", 3))
    desk.nack(first[1])
    assert [(run.first, run.span) for run in left_by(desk)] == [
        (0, 1),
        (2, 1),
    ]
    desk.pull("B")
    runs = left_by(desk)
    assert [(run.first, run.span, run.client, run.delivery_count) for run in runs] == [
        (0, 1, "A", 1), (1, 1, "B", 2), (2, 1, "A", 1),
    ]  # fmt: skip


def test_what_does_not_fit_into_the_row_is_what_ends_first_and_delays_before_leases() -> None:
    runs = [run_of(0, left=5.0), run_of(1, left=9.0), run_of(2, left=99.0, leased=False), run_of(3, left=7.0)]
    kept = [[run.first for run in fit(runs, room)] for room in (0, 100, 130, 160, 1000)]
    assert kept == [[], [1, 3], [1, 3, 0], [1, 3, 0, 2], [1, 3, 0, 2]]


def test_the_row_stays_within_its_limit() -> None:
    limits = Limits(max_row_bytes=10_000)
    desk = Desk(limits=limits)
    desk.fetch(*range(1000))
    for number in range(1000):
        desk.pull(f"client {number}")
    snapshot, left_out = desk.queue.last_snapshot(0, desk.now)
    row = encode_row(snapshot, id="i", topic="t", generation=1, counter=1)
    assert len(row) <= limits.max_row_bytes
    assert 0 < left_out == 1000 - len(snapshot.handed_over)


def test_ten_thousand_leases_of_one_message_each_fit_into_the_row_of_the_default_limit() -> None:
    desk = Desk()
    desk.fetch(*range(10_000))
    for number in range(10_000):
        desk.pull(f"client {number % 50}")
    snapshot, left_out = desk.queue.last_snapshot(0, desk.now)
    assert not left_out
    row = encode_row(snapshot, id="i", topic="t", generation=1, counter=1)
    assert len(row) < 300_000
    assert len(moved(desk)[0].in_flight) == 10_000


def test_of_rests_that_are_over_nothing_is_left_and_those_alike_are_one_run() -> None:
    desk = Desk()
    desk.fetch(*range(5))
    refs = leases(desk.pull("A", 5))
    desk.nack(refs[4], 1.0)
    for ref in refs[1:4]:
        desk.nack(ref, 5.0)
    desk.now += 2.0  # and nobody has rung yet
    leased, resting = left_by(desk)
    assert (leased.first, leased.span) == (0, 1)
    assert (resting.first, resting.span, resting.batch, resting.client, resting.left) == (1, 3, None, "A", 3.0)
    assert resting.delivery_count == 2
