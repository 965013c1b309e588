"""What the Python client sends of what its handlers have done, and what it makes of the answer."""

from __future__ import annotations

import logging

import pytest
from msgspec import UNSET

from fanout_client import Batch, Message, Nack, Reject
from fanout_client.held import Held
from fanout_client.outcome import given_back
from fanout_client.unsettled import Unsettled
from fanout_client.wire import MOST_ENTRIES, Result, Settle, Settled


def message(lease: str) -> Message:
    return Message(lease, 0, 0, 0, 1, 0, None, b"")


def batch(*leases: str, token: str | None = "batch") -> Batch:
    return Batch(token, [message(lease) for lease in leases])


def answer(**statuses: str) -> Settled:
    return Settled(results=tuple(Result(lease, status) for lease, status in statuses.items()))


def sent(unsettled: Unsettled, settled: Settled) -> Settle:
    """Send what there is; answers what is to be sent next."""
    unsettled.answered(unsettled.to_send(), settled)
    return unsettled.to_send()


class TestOutcomes:
    def test_a_batch_that_went_well_is_acked_by_its_token(self) -> None:
        assert batch("a", "b").settle() == Settle(ack=["batch"])

    def test_what_went_otherwise_is_named_beside_it(self) -> None:
        one = batch("a", "b", "c")
        one.nack(one[0], "later", delay=1.5)
        one.reject(one[1], "never")
        settle = one.settle()
        assert settle.ack == ["batch"]
        assert [(entry.lease, entry.delay_ms, entry.reason) for entry in settle.nack] == [("a", 1500, "later")]
        assert [(entry.lease, entry.reason) for entry in settle.reject] == [("b", "never")]

    def test_where_the_handler_fails_what_it_had_said_counts_and_the_rest_is_nacked(self) -> None:
        one = batch("a", "b")
        one.reject(one[0])
        settle = one.settle(RuntimeError("no"))
        assert settle.ack == []
        assert [entry.lease for entry in settle.reject] == ["a"]
        assert [(entry.lease, entry.reason) for entry in settle.nack] == [("b", "RuntimeError: no")]

    def test_a_nack_without_a_delay_leaves_it_to_the_cluster(self) -> None:
        (entry,) = batch("a").settle(Nack("busy")).nack
        assert (entry.delay_ms, entry.reason) == (UNSET, "busy")

    def test_a_reject_is_one(self) -> None:
        (entry,) = batch("a").settle(Reject("bad")).reject
        assert entry.reason == "bad"

    def test_a_reason_is_as_long_as_it_may_be(self) -> None:
        (entry,) = batch("a").settle(RuntimeError("x" * 5000)).nack
        assert len(entry.reason) == 4096


class TestAnswers:
    def test_what_was_plainly_done_is_sent_no_more(self) -> None:
        unsettled = Unsettled()
        one = batch("a")
        unsettled.add(one.settle(), one)
        assert sent(unsettled, Settled(acked=1)) == Settle()

    @pytest.mark.parametrize("status", ["late", "already_settled"])
    def test_nor_is_what_needs_nothing_more(self, status: str, caplog: pytest.LogCaptureFixture) -> None:
        unsettled = Unsettled()
        unsettled.add(Settle(ack=["a"]))
        assert sent(unsettled, answer(a=status)) == Settle()
        assert caplog.records == []

    def test_what_may_not_count_is_sent_again(self) -> None:
        unsettled = Unsettled()
        unsettled.add(Settle(ack=["a", "b"]))
        assert sent(unsettled, answer(a="retry")) == Settle(ack=["a"])

    def test_a_batch_whose_partition_has_moved_is_acked_lease_by_lease(self) -> None:
        unsettled = Unsettled()
        one = batch("a", "b", "c")
        one.nack(one[2])
        unsettled.add(one.settle(), one)
        assert sent(unsettled, answer(batch="lease_lost")) == Settle(ack=["a", "b"])

    def test_messages_whose_leases_had_ended_are_acked_by_themselves(self) -> None:
        unsettled = Unsettled()
        one = batch("a", "b", "c")
        one.nack(one[2])
        unsettled.add(one.settle(), one)
        assert sent(unsettled, answer(b="not_in_batch", c="not_in_batch")) == Settle(ack=["b"])

    @pytest.mark.parametrize("status", ["lease_lost", "gone", "lease_unknown"])
    def test_what_counts_for_nothing_is_told_and_dropped(self, status: str, caplog: pytest.LogCaptureFixture) -> None:
        unsettled = Unsettled()
        unsettled.add(given_back([message("a")], "why"))
        with caplog.at_level(logging.WARNING):
            assert sent(unsettled, answer(a=status)) == Settle()
        assert status in caplog.text

    def test_no_request_has_more_entries_than_it_may(self) -> None:
        unsettled = Unsettled()
        unsettled.add(Settle(ack=[str(number) for number in range(MOST_ENTRIES + 1)]))
        assert len(unsettled.to_send()) == MOST_ENTRIES
        assert sent(unsettled, Settled()) == Settle(ack=[str(MOST_ENTRIES)])


class TestHeld:
    def test_a_lease_is_extended_when_two_thirds_have_passed_and_again(self) -> None:
        held = Held(30.0)
        held.take(["a"], 100.0)
        assert held.next() == 120.0
        assert held.due(119.0) == []
        assert held.due(120.0) == ["a"]
        assert held.next() == 140.0

    def test_those_of_one_moment_are_extended_together(self) -> None:
        held = Held(30.0)
        held.take(["a"], 100.0)
        held.take(["b"], 100.1)
        assert held.due(120.0) == ["a", "b"]

    def test_a_short_lease_is_not_extended_all_the_time(self) -> None:
        held = Held(0.05)
        held.take(["a"], 0.0)
        assert held.due(0.02) == []

    def test_what_is_over_is_not_extended(self) -> None:
        held = Held(30.0)
        held.take(["a", "b"], 0.0)
        held.end(["a", "unknown"])
        assert held.due(20.0) == ["b"]

    def test_what_is_lost_is_extended_no_more_and_what_may_be_is_soon(self) -> None:
        held = Held(30.0)
        held.take(["a", "b", "c"], 0.0)
        held.due(20.0)
        held.answered(answer(a="lease_lost", b="retry"), 20.0)
        assert held.next() == 20.5
        assert held.due(20.5) == ["b"]
        assert held.next() == 40.0

    def test_an_answer_about_what_is_over_by_now_begins_nothing(self) -> None:
        held = Held(30.0)
        held.answered(answer(a="retry"), 0.0)
        assert held.next() is None
