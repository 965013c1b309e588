"""Settling a whole answer by its batch token."""

from __future__ import annotations

import pytest

from fanout_app.core.requests import BatchRef, Settle, Status, Verb
from unit.core.desk import ACK_WAIT, Desk, batch, entry, leases, offsets


def test_nack_some_and_ack_the_rest() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2, 3)
    answer = desk.pull("A", 4)
    refs = leases(answer)
    outcome = desk.settle_all(Settle(nack=[entry(refs[1], delay=5.0)], ack=[entry(batch(answer))]))
    assert (outcome.nacked, outcome.acked) == (1, 3)
    assert outcome.results == [(refs[1], Status.NOT_IN_BATCH)]
    assert (desk[0].ledger.floor, list(desk[0].ledger.settled)) == (1, [2, 3])


def test_nack_the_batch_names_each_of_it() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    answer = desk.pull("A", 2)
    outcome = desk.settle_all(Settle(nack=[entry(batch(answer), delay=5.0)], ack=[entry(leases(answer)[0])]))
    assert (outcome.nacked, outcome.acked, outcome.results) == (2, 0, [])
    assert desk[0].ledger.floor == 0


def test_what_ran_out_or_is_with_somebody_else_is_listed_and_not_touched() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2)
    answer = desk.pull("A", 3)
    refs = leases(answer)
    desk.settle(Verb.EXTEND, entry(refs[2], ack_wait=100.0))
    desk.pass_time(ACK_WAIT)
    other = desk.pull("B")
    outcome = desk.settle(Verb.ACK, entry(batch(answer)))
    assert outcome.acked == 1
    assert outcome.results == [(refs[0], Status.NOT_IN_BATCH), (refs[1], Status.NOT_IN_BATCH)]
    assert other.live == 1
    assert list(desk[0].returned) == [1]


def test_what_is_past_its_deadline_is_not_in_the_batch_even_if_the_timer_is_late() -> None:
    desk = Desk()
    desk.fetch(0)
    answer = desk.pull("A")
    desk.now = ACK_WAIT
    assert desk.ack(batch(answer)) == [Status.NOT_IN_BATCH]
    assert desk[0].ledger.floor == 0


def test_what_was_settled_before_needs_no_word() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    answer = desk.pull("A", 2)
    desk.ack(leases(answer)[0])
    outcome = desk.settle(Verb.ACK, entry(batch(answer)))
    assert (outcome.acked, outcome.results) == (1, [])


def test_an_ack_sent_again_is_known() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    whole = batch(desk.pull("A", 2))
    assert desk.ack(whole, whole) == [Status.DONE, Status.ALREADY_SETTLED]
    assert desk.settling.pending[0].version == desk[0].ledger.version
    assert desk.settling.pending[0].acked == 0
    assert desk.nack(whole) is Status.ALREADY_SETTLED


def test_an_ack_sent_again_waits_for_all_partitions_it_was_in() -> None:
    desk = Desk()
    desk.assign(1)
    desk.fetch(0)
    desk.fetch(5, number=1)
    whole = batch(desk.pull("A", 2))
    desk.ack(whole)
    assert {number: pending.acked for number, pending in desk.settling.pending.items()} == {0: 1, 1: 1}
    desk.ack(whole)
    assert desk.settling.pending.keys() == {0, 1}
    assert [pending.tokens for pending in desk.settling.pending.values()] == [[entry(whole).token]] * 2


def test_an_ack_that_did_not_settle_everything_is_not_taken_for_one_that_did() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    answer = desk.pull("A", 2)
    whole, refs = batch(answer), leases(answer)
    desk.nack(refs[0], delay=60.0)
    desk.ack(whole)
    assert desk.ack(whole) == [Status.LEASE_LOST]
    assert desk.ack(*refs) == [Status.LATE, Status.ALREADY_SETTLED]


def test_only_the_latest_batches_are_remembered() -> None:
    desk = Desk()
    desk.fetch(*range(10_001))
    first = batch(desk.pull("A"))
    desk.ack(first)
    for _ in range(9_999):
        desk.ack(batch(desk.pull("A")))
    assert desk.ack(first) == [Status.ALREADY_SETTLED]
    desk.ack(batch(desk.pull("A")))
    assert desk.ack(first) == [Status.LEASE_LOST]
    assert len(desk.queue.leases.acked_batches) == 10_000


@pytest.mark.parametrize("verb", Verb)
def test_a_batch_that_nobody_knows_here(verb: Verb) -> None:
    desk = Desk()
    outcome = desk.settle(verb, entry(BatchRef(0, 77)))
    assert [status for _, status in outcome.results] == [Status.LEASE_LOST]


def test_a_batch_of_a_partition_that_is_elsewhere_or_moving() -> None:
    desk = Desk()
    desk.fetch(0)
    whole = batch(desk.pull("A"))
    assert desk.ack(BatchRef(9, whole.batch)) == [Status.RETRY]
    desk.queue.suspend()
    assert desk.ack(whole) == [Status.RETRY]
    desk.queue.resume(0)
    assert desk.ack(whole) == [Status.DONE]


class TestOverTwoPartitions:
    def setup_method(self) -> None:
        self.desk = Desk()
        self.desk.assign(1)
        self.desk.fetch(0)
        self.desk.fetch(5, number=1)
        self.answer = self.desk.pull("A", 2)
        assert offsets(self.answer) == [0, 5]

    def test_each_ledger_has_its_part(self) -> None:
        assert self.desk.ack(batch(self.answer)) == [Status.DONE]
        assert [self.desk[number].ledger.floor for number in (0, 1)] == [1, 6]

    def test_a_part_that_is_moving_is_to_be_sent_again(self) -> None:
        self.desk.queue.suspend()
        self.desk.queue.resume(0)
        outcome = self.desk.settle(Verb.ACK, entry(batch(self.answer)))
        assert outcome.acked == 1
        assert outcome.results == [(leases(self.answer)[1], Status.RETRY)]
        self.desk.queue.resume(1)
        assert self.desk.ack(batch(self.answer)) == [Status.DONE]
        assert self.desk[1].ledger.floor == 6

    @pytest.mark.parametrize("back", [False, True])
    def test_a_part_that_has_moved_is_not_in_it(self, back: bool) -> None:
        self.desk.queue.drop(1, self.desk.now)
        if back:
            self.desk.assign(1)
        outcome = self.desk.settle(Verb.ACK, entry(batch(self.answer)))
        assert outcome.acked == 1
        assert outcome.results == [(leases(self.answer)[1], Status.NOT_IN_BATCH)]

    def test_a_part_of_a_later_era_is_not_taken_for_settled(self) -> None:
        row = self.desk[1].ledger
        row.begin_era(50)
        self.desk.queue.drop(1, self.desk.now)
        self.desk.assign(1, row.snapshot())
        assert self.desk.ack(batch(self.answer)) == [Status.NOT_IN_BATCH]


def test_messages_of_different_counts_are_one_batch() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2)
    desk.nack(leases(desk.pull("A", 2))[1])
    desk.pass_time(ACK_WAIT)
    answer = desk.pull("B", 3)
    assert {ref.offset: ref.delivery_count for ref in leases(answer)} == {0: 2, 1: 2, 2: 1}
    desk.nack(leases(answer)[0])
    again = desk.pull("C")
    assert desk.settle(Verb.ACK, entry(batch(answer))).acked == 2
    assert desk.settle(Verb.ACK, entry(batch(again))).acked == 1
    assert desk[0].ledger.floor == 3
