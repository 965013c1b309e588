"""What becomes of a lease: it is extended, given back, runs out, or its message waits a while."""

from __future__ import annotations

import weakref

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.key_order import KeyOrder
from fanout_app.core.message import Bodiless
from fanout_app.core.redelivery import Backoff
from fanout_app.core.requests import Settle, Status, Verb
from fanout_app.core.settling import REJECT_WAIT
from support.messages import FakeMessage
from unit.core.desk import ACK_WAIT, Desk, batch, entry, lease, leases, offsets


class TestUnwritableAnswer:
    def test_its_messages_go_to_the_next_client_at_once_and_uncounted(self) -> None:
        desk = Desk()
        desk.fetch(0, 1, 2)
        lost = desk.pull("A", 2)
        desk.queue.release(lost, desk.now)
        again = desk.pull("B", 3)
        assert offsets(again) == [0, 1, 2]
        assert {ref.delivery_count for ref in leases(again)} == {1}
        assert desk[0].ledger.failures == {}
        assert desk.queue.counters.released == 2
        assert desk.queue.clients["A"].in_flight == 0

    def test_its_client_may_have_them_again_at_once(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.queue.release(desk.pull("A"), desk.now)
        assert offsets(desk.pull("A")) == [0]

    def test_what_ended_before_stays_as_it_is(self) -> None:
        desk = Desk()
        desk.fetch(0, 1, 2)
        lost = desk.pull("A", 3)
        done, failed, _ = leases(lost)
        desk.ack(done)
        desk.nack(failed, delay=5.0)
        desk.queue.release(lost, desk.now)
        desk.queue.release(lost, desk.now)
        assert desk.queue.counters.released == 1
        assert offsets(desk.pull("B", 10)) == [2]
        assert desk[0].ledger.delivery_count(1) == 2

    def test_it_can_still_be_read(self) -> None:
        """Whoever was about to write it finds what was in it."""
        desk = Desk()
        desk.fetch(0, 1)
        lost = desk.pull("A", 2)
        desk.queue.release(lost, desk.now)
        assert offsets(lost) == [0, 1]


class TestExtend:
    def test_a_lease_ends_later(self) -> None:
        desk = Desk()
        desk.fetch(0)
        held = lease(desk.pull("A"))
        desk.now = 20.0
        assert desk.settle(Verb.EXTEND, entry(held, ack_wait=50.0)).extended == 1
        desk.wait("B")
        desk.pass_time(49.9)
        assert desk.serve() == []
        assert desk.queue.next_deadline() == 70.0
        desk.pass_time(0.1)
        assert desk.serve() == [("B", [0])]

    def test_a_lease_can_be_made_to_end_earlier(self) -> None:
        desk = Desk()
        desk.fetch(0)
        held = lease(desk.pull("A"))
        desk.settle(Verb.EXTEND, entry(held, ack_wait=5.0))
        desk.pass_time(5.0)
        assert desk.ack(held) == [Status.LATE]

    def test_one_of_many_goes_its_own_way(self) -> None:
        desk = Desk()
        desk.fetch(0, 1, 2)
        answer = desk.pull("A", 3)
        refs = leases(answer)
        desk.settle(Verb.EXTEND, entry(refs[1], ack_wait=100.0))
        desk.pass_time(ACK_WAIT)
        assert list(desk[0].in_flight) == [1]
        assert desk.ack(refs[1]) == [Status.DONE]
        assert desk.queue.answers == {}

    def test_a_batch_is_extended_as_a_whole_and_again_and_again(self) -> None:
        desk = Desk()
        desk.fetch(*range(100))
        answer = desk.pull("A", 100)
        for _ in range(1000):
            desk.pass_time(20.0)
            assert desk.settle(Verb.EXTEND, entry(batch(answer))).extended == 100
        assert len(answer.runs) == 1
        assert answer.splits == []
        assert desk.ack(batch(answer)) == [Status.DONE]
        assert desk[0].ledger.floor == 100

    def test_extending_lease_by_lease_keeps_one_lease_each(self) -> None:
        desk = Desk()
        desk.fetch(*range(10))
        answer = desk.pull("A", 10)
        for _ in range(100):
            desk.pass_time(20.0)
            assert desk.settle(Verb.EXTEND, *map(entry, leases(answer))).extended == 10
        assert len(answer.splits) == 9
        desk.settle(Verb.REJECT, *map(entry, leases(answer)))
        assert len(answer.splits) == 10
        assert desk.ack(batch(answer)) == [Status.DONE]

    def test_what_is_extended_in_one_request_is_not_acked_by_it(self) -> None:
        desk = Desk()
        desk.fetch(0, 1)
        answer = desk.pull("A", 2)
        refs = leases(answer)
        outcome = desk.settle_all(Settle(extend=[entry(refs[0])], ack=[entry(batch(answer))]))
        assert (outcome.extended, outcome.acked) == (1, 1)
        assert outcome.results == [(refs[0], Status.NOT_IN_BATCH)]
        assert list(desk[0].in_flight) == [0]

    def test_what_is_left_of_a_batch_is_extended_without_what_was_named(self) -> None:
        desk = Desk()
        desk.fetch(0, 1, 2)
        answer = desk.pull("A", 3)
        refs = leases(answer)
        short, whole = entry(refs[0], ack_wait=1.0), entry(batch(answer), ack_wait=100.0)
        assert desk.settle(Verb.EXTEND, short, whole).extended == 3
        desk.pass_time(1.0)
        assert list(desk[0].in_flight) == [1, 2]
        desk.pass_time(98.0)
        assert list(desk[0].in_flight) == [1, 2]


class TestNack:
    def test_the_first_one_comes_back_at_once_then_later_and_later(self) -> None:
        desk = Desk(limits=Limits(backoff=Backoff(first=0.5, longest=3.0)))
        desk.fetch(0)
        waited = []
        for number in range(6):
            ref = lease(desk.pull(f"client {number}"))
            assert ref.delivery_count == number + 1
            desk.nack(ref, delay=None)
            began = desk.now
            while not desk[0].returned:
                desk.pass_time(0.5)
            waited.append(desk.now - began)
        assert waited == [0.0, 0.5, 1.0, 2.0, 3.0, 3.0]

    def test_with_a_delay_it_waits_that_long_and_longer_than_another_client(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.nack(lease(desk.pull("A")), delay=8.0)
        desk.wait("B")
        desk.pass_time(7.9)
        assert desk.serve() == []
        desk.pass_time(0.1)
        assert desk.serve() == [("B", [0])]

    def test_whoever_failed_it_has_it_after_its_delay_if_nobody_else_is_there(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.nack(lease(desk.pull("A")), delay=0.25)
        desk.wait("A")
        desk.pass_time(0.25)
        assert desk.serve() == [("A", [0])]

    def test_an_ack_ends_the_delay(self) -> None:
        desk = Desk()
        desk.fetch(0)
        ref = lease(desk.pull("A"))
        desk.nack(ref, delay=60.0)
        assert desk.ack(ref) == [Status.LATE]
        assert (desk[0].held, desk[0].bytes_held) == (0, 0)
        desk.pass_time(60.0)
        assert desk[0].held == 0

    def test_a_batch_comes_back_as_a_whole(self) -> None:
        desk = Desk()
        desk.fetch(0, 1, 2)
        answer = desk.pull("A", 3)
        assert desk.settle(Verb.NACK, entry(batch(answer), delay=2.0)).nacked == 3
        assert list(desk[0].delayed) == [0, 1, 2]
        desk.pass_time(2.0)
        again = desk.pull("B", 3)
        assert {ref.delivery_count for ref in leases(again)} == {2}
        assert desk.queue.counters.redelivered == 3

    def test_it_makes_a_row_due(self) -> None:
        desk = Desk()
        desk.fetch(0)
        version = desk[0].ledger.version
        desk.nack(lease(desk.pull("A")))
        assert desk[0].ledger.version > version


class TestReject:
    def test_the_message_stays_leased_until_it_has_been_put_away(self) -> None:
        desk = Desk()
        desk.fetch(0, 1)
        refs = leases(desk.pull("A", 2))
        outcome = desk.settle(Verb.REJECT, entry(refs[0]))
        assert (outcome.rejected, outcome.results) == (0, [])
        ((rejected, run),) = desk.settling.rejects
        assert (rejected.ref, [message.offset for message in run.messages]) == (refs[0], [0])
        assert desk[0].ledger.floor == 0
        desk.settling.rejected(rejected, run, 0)
        assert desk[0].ledger.floor == 1
        assert outcome.rejected == desk.queue.counters.rejected == 1
        assert desk.settling.pending[0].version == desk[0].ledger.version

    def test_one_that_could_not_be_put_away_comes_again(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.settle(Verb.REJECT, entry(lease(desk.pull("A"))))
        desk.pass_time(REJECT_WAIT)
        assert offsets(desk.pull("B")) == [0]

    def test_one_that_could_not_be_put_away_has_the_rest_of_its_lease(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.settle(Verb.REJECT, entry(lease(desk.pull("A", ack_wait=10.0))))
        ((rejected, run),) = desk.settling.rejects
        desk.pass_time(5.0)
        desk.settling.not_rejected(rejected, run, desk.now)
        assert desk.settling.outcome.results == [(rejected.token, Status.RETRY)]
        desk.pass_time(4.9)
        desk.wait("B")
        assert desk.serve() == []
        desk.pass_time(0.2)
        assert desk.serve() == [("B", [0])]

    def test_one_that_could_not_be_put_away_in_time_is_free_at_once(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.settle(Verb.REJECT, entry(lease(desk.pull("A", ack_wait=3.0))))
        ((rejected, run),) = desk.settling.rejects
        desk.pass_time(5.0)
        desk.settling.not_rejected(rejected, run, desk.now)
        desk.pass_time(0.0)
        assert offsets(desk.pull("B")) == [0]

    def test_one_that_could_not_be_put_away_keeps_an_extension_made_meanwhile(self) -> None:
        desk = Desk()
        desk.fetch(0)
        ref = lease(desk.pull("A", ack_wait=3.0))
        desk.settle(Verb.REJECT, entry(ref))
        settling = desk.settling
        ((rejected, run),) = settling.rejects
        desk.settle(Verb.EXTEND, entry(ref, ack_wait=20.0))
        desk.pass_time(5.0)
        settling.not_rejected(rejected, run, desk.now)
        desk.pass_time(14.0)
        desk.wait("B")
        assert desk.serve() == []

    def test_one_that_could_not_be_put_away_and_is_somebody_elses_by_now_stays_with_that_one(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.settle(Verb.REJECT, entry(lease(desk.pull("A"))))
        settling = desk.settling
        ((rejected, run),) = settling.rejects
        desk.pass_time(REJECT_WAIT)
        other = lease(desk.pull("B"))
        settling.not_rejected(rejected, run, desk.now)
        desk.pass_time(1.0)
        assert desk.ack(other) == [Status.DONE]

    def test_put_away_after_it_was_handed_to_somebody_else(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.settle(Verb.REJECT, entry(lease(desk.pull("A"))))
        ((rejected, run),) = desk.settling.rejects
        desk.pass_time(REJECT_WAIT)
        other = lease(desk.pull("B"))
        desk.settling.rejected(rejected, run, 0)
        assert desk.ack(other) == [Status.ALREADY_SETTLED]
        assert desk[0].held == 0

    def test_put_away_after_it_came_back(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.settle(Verb.REJECT, entry(lease(desk.pull("A"))))
        ((rejected, run),) = desk.settling.rejects
        desk.pass_time(REJECT_WAIT)
        desk.settling.rejected(rejected, run, 0)
        assert (desk[0].held, desk[0].ledger.floor) == (0, 1)

    @pytest.mark.parametrize("era", [None, 1])
    def test_put_away_after_the_partition_has_moved(self, era: int | None) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.settle(Verb.REJECT, entry(lease(desk.pull("A"))))
        ((rejected, run),) = desk.settling.rejects
        row = desk[0].ledger
        desk.queue.drop(0, desk.now)
        if era is not None:
            row.begin_era(0)
            desk.assign(0, row.snapshot())
        desk.settling.rejected(rejected, run, 0)
        assert desk.settling.outcome.rejected == 0
        assert desk.settling.pending == {}
        assert era is None or desk[0].ledger.floor == 0

    def test_put_away_twice_counts_once(self) -> None:
        desk = Desk()
        desk.fetch(0)
        desk.settle(Verb.REJECT, entry(lease(desk.pull("A"))))
        ((rejected, run),) = desk.settling.rejects
        desk.settling.rejected(rejected, run, 0)
        desk.settling.rejected(rejected, run, 0)
        assert desk.queue.counters.rejected == 1


def test_many_that_run_out_together_wake_once() -> None:
    desk = Desk()
    desk.fetch(*range(100))
    for number in range(100):
        desk.pull(f"client {number}")
    desk.pass_time(ACK_WAIT)
    assert len(desk[0].returned) == 100
    # One alarm to look again when the bars end, one to look for dead clients.
    alarms = len(desk.queue._deadlines)
    assert alarms <= 2


def test_bodies_are_let_go_when_they_are_acked() -> None:
    """The alarm of a lease stays filed until its time, maybe half a day; it must not hold the messages."""
    desk = Desk()
    message = FakeMessage(0, b"a large one")
    held = weakref.ref(message)
    desk.queue.offer(0, 0, 1, [message])
    del message
    whole = batch(desk.pull("A", ack_wait=40_000.0))
    assert held() is not None
    desk.ack(whole)
    assert len(desk.queue._deadlines) == 2
    assert held() is None


def test_bodies_are_let_go_with_their_partition() -> None:
    desk = Desk()
    message = FakeMessage(0, b"a large one")
    held = weakref.ref(message)
    desk.queue.offer(0, 0, 1, [message])
    del message
    desk.nack(lease(desk.pull("A")), delay=40_000.0)
    partition = desk[0]
    desk.queue.drop(0, desk.now)
    assert (held(), partition.held) == (None, 0)


def test_runs_and_partitions_say_where_they_stand() -> None:
    desk = Desk()
    desk.fetch(0, 1, 2)
    (run,) = desk.pull("A", 2).runs
    assert repr(run) == "<LeaseRun p0/[0, 1] live=2 client=A until=30.000>"
    assert repr(desk[0]) == (
        "<PartitionQueue 0 next=3 fresh=1 in_flight=2 returned=0 delayed=0 "
        "asleep=0 spent=0 "
        "<PartitionLedger era=0 floor=0 above=0 version=0>>"
    )


def test_what_of_a_key_waits_and_what_was_never_read_say_so_too() -> None:
    order = KeyOrder()
    order.admit([FakeMessage(offset, key=b"a") for offset in range(3)])
    assert repr(order) == "<KeyOrder chains=1 blocked=2>"
    assert repr(Bodiless(7)) == "<Bodiless 7>"
