"""Faults that others met, told to the core (named as in the collection that the other tests follow too)."""

from __future__ import annotations

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.ledger import LedgerSnapshot, join
from fanout_app.core.ledger_row import decode_row, encode_row
from fanout_app.core.requests import Settle, Status, Verb
from unit.core.desk import ACK_WAIT, Desk, batch, entry, lease, leases, ledger, offsets


def restarted(desk: Desk) -> Desk:
    """Killed, and started again from the row that was written last."""
    row = encode_row(desk[0].ledger.snapshot(), id="i", topic="t", generation=1, counter=1)
    return Desk(join([decode_row(row, id="i", topic="t").snapshot()]))


class TestLateAck:
    """D1: A's lease ends, B gets the message, A acks."""

    def test_it_counts_and_the_other_client_needs_to_do_nothing_more(self) -> None:
        desk = Desk()
        desk.fetch(0)
        first = lease(desk.pull("A"))
        desk.pass_time(ACK_WAIT)
        second = lease(desk.pull("B"))
        assert second.delivery_count == 2
        assert desk.ack(first, second) == [Status.LATE, Status.ALREADY_SETTLED]
        assert desk[0].ledger.floor == 1
        assert desk[0].held == 0
        assert desk.queue.clients["B"].in_flight == 0
        desk.pass_time(10 * ACK_WAIT)
        desk.wait("C")
        assert desk.serve() == []

    def test_the_other_client_may_be_first(self) -> None:
        desk = Desk()
        desk.fetch(0)
        first = lease(desk.pull("A"))
        desk.pass_time(ACK_WAIT)
        second = lease(desk.pull("B"))
        assert desk.ack(second, first) == [Status.DONE, Status.ALREADY_SETTLED]
        assert desk[0].ledger.floor == 1

    def test_it_counts_before_anyone_else_has_the_message(self) -> None:
        desk = Desk()
        desk.fetch(0)
        first = lease(desk.pull("A"))
        desk.pass_time(ACK_WAIT)
        assert desk.ack(first) == [Status.LATE]
        desk.wait("B")
        assert desk.serve() == []
        assert desk.queue.counters.late == desk.queue.counters.acked == 1
        assert desk.queue.clients["A"].acked == 0

    def test_it_is_late_from_the_deadline_on_even_if_the_timer_is(self) -> None:
        desk = Desk()
        desk.fetch(0)
        first = lease(desk.pull("A"))
        desk.now = ACK_WAIT
        assert desk.nack(first) is Status.LEASE_LOST
        assert desk.ack(first) == [Status.LATE]

    def test_there_are_never_two_live_leases(self) -> None:
        desk = Desk()
        desk.fetch(0)
        first = desk.pull("A")
        desk.pass_time(ACK_WAIT)
        second = desk.pull("B")
        assert first.live == 0
        assert [run.live for run in (*first.runs, *second.runs)] == [0, 1]


class TestHoles:
    """D4: offsets with holes, and an unsettled message right after one."""

    @pytest.mark.parametrize("order", [[9, 0, 5, 1], [0, 1, 5, 9], [9, 5, 1, 0]])
    def test_a_compacted_log_is_settled_to_its_end(self, order: list[int]) -> None:
        desk = Desk()
        desk.fetch(0, 1, 5, 9)
        held = {ref.offset: ref for ref in leases(desk.pull("A", 10))}
        assert desk.ack(*[held[offset] for offset in order]) == [Status.DONE] * 4
        assert desk[0].ledger.floor == 10
        assert (desk[0].held, list(desk[0].ledger.settled)) == (0, [])

    def test_what_follows_a_hole_comes_again(self) -> None:
        desk = Desk(ledger(4))
        desk.fetch(4, 7, 8)
        held = {ref.offset: ref for ref in leases(desk.pull("A", 10))}
        desk.ack(held[8], held[4])
        assert desk[0].ledger.floor == 7
        again = restarted(desk)
        again.fetch(7, 8)
        assert offsets(again.pull("A", 10)) == [7]

    def test_first_start_with_only_the_last_acked(self) -> None:
        desk = Desk()
        desk.fetch(0, 1, 2, 3, 4, 5)
        desk.ack(leases(desk.pull("A", 10))[5])
        assert desk[0].ledger.floor == 0
        again = restarted(desk)
        again.fetch(0, 1, 2, 3, 4, 5)
        assert offsets(again.pull("A", 10)) == [0, 1, 2, 3, 4]

    def test_the_message_at_the_floor_comes_again(self) -> None:
        desk = Desk(ledger(10))
        desk.fetch(10, 11)
        desk.ack(leases(desk.pull("A", 10))[1])
        again = restarted(desk)
        again.fetch(10, 11)
        assert offsets(again.pull("A", 10)) == [10]

    def test_a_fetch_without_records_settles_what_it_passed(self) -> None:
        desk = Desk()
        desk.fetch(after=5)
        assert desk[0].ledger.floor == 5

    def test_a_jump_between_fetches_proves_nothing(self) -> None:
        desk = Desk()
        desk.fetch(0)
        assert not desk.queue.offer(0, 3, 4, [])
        assert (desk[0].next_offset, desk[0].ledger.floor) == (1, 0)


class TestRetention:
    """D5: the log starts beyond what was read last."""

    def test_what_is_lost_is_counted_and_the_rest_delivered(self) -> None:
        desk = Desk(ledger(100))
        assert desk.queue.log_starts_at(0, 500) == 400
        assert desk.queue.counters.lost_to_retention == 400
        desk.fetch(*range(500, 510))
        answer = desk.pull("A", 100)
        assert offsets(answer) == list(range(500, 510))
        assert desk.ack(batch(answer)) == [Status.DONE]
        assert desk[0].ledger.floor == 510

    def test_what_was_settled_before_is_not_lost(self) -> None:
        desk = Desk(ledger(0, 2, 3, 9))
        assert desk.queue.log_starts_at(0, 5) == 3
        assert desk[0].ledger.floor == 5

    def test_what_is_held_is_not_lost(self) -> None:
        desk = Desk()
        desk.fetch(0, 1, 2)
        held = desk.pull("A")
        assert desk.queue.log_starts_at(0, 10) == 7
        assert desk[0].ledger.floor == 0
        assert desk.ack(lease(held)) == [Status.DONE]
        assert offsets(desk.pull("A", 10)) == [1, 2]

    def test_a_message_that_is_held_can_be_acked_late_though_the_log_has_lost_it(self) -> None:
        desk = Desk()
        desk.fetch(0)
        held = lease(desk.pull("A"))
        desk.pass_time(ACK_WAIT)
        desk.queue.log_starts_at(0, 10)
        assert desk.ack(held) == [Status.LATE]
        assert desk[0].ledger.floor == 10

    def test_a_log_that_starts_below_loses_nothing(self) -> None:
        desk = Desk(ledger(100))
        assert desk.queue.log_starts_at(0, 99) == 0
        assert desk[0].next_offset == 100

    def test_a_hole_of_fifty_million_costs_nothing(self) -> None:
        width = 50_000_000
        desk = Desk()
        desk.fetch(0)
        held = lease(desk.pull("A"))
        assert desk.queue.log_starts_at(0, width) == width - 1
        desk.fetch(width, after=2 * width)
        assert len(encode_row(desk[0].ledger.snapshot(), id="i", topic="t", generation=1, counter=1)) < 50_000
        desk.ack(held)
        assert desk[0].ledger.floor == width
        desk.ack(lease(desk.pull("A")))
        assert desk[0].ledger.floor == 2 * width
        assert len(encode_row(desk[0].ledger.snapshot(), id="i", topic="t", generation=1, counter=1)) < 50


class TestHoarding:
    """D9: A polls in a loop and never acks, B acks at once."""

    def test_the_other_client_is_never_without_work(self) -> None:
        desk = Desk(limits=Limits(client_limit=100))
        desk.fetch(*range(1000))
        done: set[int] = set()
        rounds = 0
        while len(done) < 1000:
            rounds += 1
            assert rounds < 5000
            desk.wait("A", 50)
            number = desk.wait("B")
            desk.serve()
            assert desk.queue.clients["A"].in_flight <= 100
            answer = desk.answers.pop(number, None)
            if answer is not None:
                done.update(offsets(answer))
                assert desk.ack(batch(answer)) == [Status.DONE]
            else:
                # Everything there is is with A: it comes back when A's leases end.
                assert desk.queue.clients["A"].in_flight == 1000 - len(done)
                desk.queue.cancel_pull(number, desk.now)
                desk.pass_time(ACK_WAIT)
        assert desk[0].ledger.floor == 1000
        assert desk.queue.clients["A"].expired == 100

    def test_it_gets_one_at_a_time_after_ten_in_vain_until_it_acks(self) -> None:
        desk = Desk()
        desk.fetch(*range(100))
        desk.pull("A", 10)
        desk.pass_time(ACK_WAIT)
        desk.pull("B", 10)
        one = desk.pull("A", 10)
        assert len(one) == 1
        waiting = desk.wait("A", 10)
        assert desk.serve() == []
        assert desk.nack(lease(one), delay=60.0) is Status.DONE
        assert [len(found) for _, found in desk.serve()] == [1]
        assert desk.ack(lease(desk.answers[waiting])) == [Status.DONE]
        assert len(desk.pull("A", 10)) == 10

    @pytest.mark.parametrize("verb", [Verb.ACK, Verb.NACK, Verb.REJECT])
    def test_only_leases_in_a_row_count(self, verb: Verb) -> None:
        desk = Desk()
        desk.fetch(*range(100))
        desk.pull("A", 9)
        desk.pass_time(ACK_WAIT)
        desk.settle(verb, entry(lease(desk.pull("A")), delay=600.0))
        desk.pull("A", 9)
        desk.pass_time(ACK_WAIT)
        assert len(desk.pull("B", 2)) + len(desk.pull("A", 10)) == 12


class TestMoving:
    """D10: a partition is taken away and given back while clients hold 4 and 5."""

    def test_no_ack_from_before_the_move_settles_the_wrong_message(self) -> None:
        desk = Desk(ledger(4))
        desk.fetch(4, 5)
        four, five = lease(desk.pull("A")), lease(desk.pull("B"))
        row = desk[0].ledger.snapshot()
        desk.queue.drop(0, desk.now)
        assert desk.queue.clients["A"].in_flight == 0
        assert desk.ack(four) == [Status.RETRY]
        desk.assign(0, row)
        desk.fetch(4, 5)
        assert desk.ack(five) == [Status.LATE]
        assert desk[0].ledger.floor == 4
        assert offsets(desk.pull("A", 10)) == [4]

    def test_an_ack_may_come_before_the_message_is_read_again(self) -> None:
        desk = Desk(ledger(4))
        desk.fetch(4, 5)
        held = leases(desk.pull("A", 2))
        row = desk[0].ledger.snapshot()
        desk.queue.drop(0, desk.now)
        desk.assign(0, row)
        assert desk.ack(held[1]) == [Status.LATE]
        desk.fetch(4, 5)
        assert offsets(desk.pull("B", 10)) == [4]
        assert desk.ack(held[0]) == [Status.LATE]
        assert desk[0].ledger.floor == 6

    def test_leases_outlive_a_rebalance_that_gives_the_partition_back(self) -> None:
        desk = Desk()
        desk.fetch(0, 1)
        held = lease(desk.pull("A"))
        desk.queue.suspend()
        assert desk.ack(held) == [Status.RETRY]
        desk.queue.resume(0)
        assert not desk.queue.offer(0, 0, 2, [])
        assert desk.ack(held) == [Status.DONE]
        assert offsets(desk.pull("B")) == [1]

    def test_ten_moves_and_everything_is_acked(self) -> None:
        desk = Desk()
        produced = list(range(40))
        refs = []
        acked: set[int] = set()
        for move in range(10):
            desk.fetch(*[offset for offset in produced if offset >= desk[0].next_offset])
            refs += leases(desk.pull("AB"[move % 2], 5))
            for ref in refs[move % 3 :: 3]:
                if desk.ack(ref)[0] in (Status.DONE, Status.LATE):
                    assert ref.offset not in acked
                    acked.add(ref.offset)
            assert desk[0].ledger.floor == min(set(range(41)) - acked)
            row = desk[0].ledger.snapshot()
            desk.queue.drop(0, desk.now)
            desk.assign(0, row)
        desk.fetch(*[offset for offset in produced if offset >= desk[0].next_offset])
        rest = desk.pull("C", 100)
        assert sorted(offsets(rest)) == sorted(set(produced) - acked)
        assert desk.ack(batch(rest)) == [Status.DONE]
        assert desk[0].ledger.floor == 40

    def test_a_batch_acked_before_the_move_proves_nothing_after_it(self) -> None:
        """What was acked may not have reached the changelog: the next ledger decides."""
        desk = Desk()
        desk.fetch(0)
        answer = desk.pull("A")
        whole, single = batch(answer), lease(answer)
        assert desk.ack(whole, whole) == [Status.DONE, Status.ALREADY_SETTLED]
        desk.queue.drop(0, desk.now)
        desk.assign(0)
        assert desk.ack(whole, single) == [Status.LEASE_LOST, Status.LATE]

    def test_delays_from_before_the_move_do_not_bring_anything_back(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.nack(lease(desk.pull("A")), delay=5.0)
        desk.queue.drop(0, desk.now)
        desk.assign(0)
        desk.pass_time(10.0)
        assert desk[0].held == 0


def test_a_poison_message_holds_up_nobody() -> None:
    """D13: every client drops message 3; the others are done while it is tried again and again."""
    desk = Desk()
    desk.fetch(*range(10))
    counts = []
    for number in range(60):
        desk.wait(f"client {number}")
        if not desk.serve():
            desk.pass_time(ACK_WAIT)
            continue
        _, answer = desk.answers.popitem()
        ref = lease(answer)
        if ref.offset == 3:
            counts.append(ref.delivery_count)
        else:
            assert desk.ack(ref) == [Status.DONE]
    assert counts[:5] == [1, 2, 3, 4, 5]
    assert desk[0].ledger.floor == 3
    assert list(desk[0].ledger.settled) == [4, 5, 6, 7, 8, 9]


def test_nack_and_ack_of_one_message_by_two_tokens_are_two_leases() -> None:
    """A client that got the message again nacks its old lease and acks its new one, in one request."""
    desk = Desk()
    desk.fetch(0)
    old = lease(desk.pull("A"))
    desk.pass_time(ACK_WAIT + 1.0)
    new = lease(desk.pull("A"))
    outcome = desk.settle_all(Settle(nack=[entry(old)], ack=[entry(new)]))
    assert outcome.acked == 1
    assert [status for _, status in outcome.results] == [Status.LEASE_LOST]
    assert desk[0].ledger.floor == 1


def test_a_new_era_starts_with_nothing_settled() -> None:
    desk = Desk(LedgerSnapshot(floor=10, settled=frozenset({12}), failures={10: 1}))
    desk.fetch(10, 11, 12)
    old = leases(desk.pull("A", 10))
    assert {ref.offset: ref.delivery_count for ref in old} == {10: 2, 11: 1}
    desk[0].ledger.begin_era(5)
    row = desk[0].ledger.snapshot()
    desk.queue.drop(0, desk.now)
    desk.assign(0, row)
    desk.fetch(*range(5, 13))
    assert desk.ack(*old) == [Status.GONE, Status.GONE]
    assert offsets(desk.pull("A", 100)) == list(range(5, 13))


def test_where_an_earlier_owner_has_used_up_all_that_a_fetch_brings_all_of_it_is_put_away() -> None:
    desk = Desk(ledger(0, failures=[(0, 2), (1, 2)]), Limits(max_deliver=2))
    desk.fetch(0, 1, size=5)
    assert [spent.message.offset for spent in desk.resting.spent()] == [0, 1]
    assert (desk[0].held, desk[0].bytes_held) == (2, 10)
    first, second = desk.resting.spent()
    assert desk.resting.put_away(first)
    assert not desk.resting.put_away(first), "it is settled already"
    desk.queue.drop(0, desk.now)
    assert not desk.resting.put_away(second), "somebody else's"


def test_one_to_be_handed_out_alone_does_not_hold_up_those_before_it() -> None:
    desk = Desk(ledger(0, failures=[(2, 2)]))
    desk.fetch(0, 1, 2, 3)
    for client, count in (("A", 2), ("B", 9), ("C", 9)):
        desk.wait(client, count)
    assert desk.serve() == [("A", [0, 1]), ("B", [2]), ("C", [3])]
