"""What is counted of groups when messages are handed out and settled: each end of a delivery once, for its group."""

from __future__ import annotations

import pytest

from fanout_app.core.lease import Answer
from fanout_app.core.requests import Status, Verb
from fanout_app.core.windows import Windows
from unit.core.desk import Desk, batch, entry, lease, leases


@pytest.fixture
def desk() -> Desk:
    """Six messages, of which nobody has any; all weight is the canary's."""
    desk = Desk()
    desk.queue.set_weights({"canary": 100}, "message")
    desk.fetch(*range(6))
    return desk


def take(desk: Desk, n: int, *, ack_wait: float = 30.0) -> Answer:
    number = desk.wait("c", n, group="canary", ack_wait=ack_wait)
    desk.serve()
    return desk.answers.pop(number)


def counted(desk: Desk) -> list[int]:
    """Delivered, acked, nacked and expired of the canary, in its window; the same as ever since."""
    tallies = desk.queue.leases.windows.tallies(desk.now)
    assert tallies.keys() == {"canary"}
    tally = tallies["canary"]
    numbers = [tally.delivered, tally.acked, tally.nacked, tally.expired]
    assert desk.queue.leases.windows.totals == {"canary": numbers}
    return numbers


def test_a_batch_that_is_acked_whole_after_a_while(desk: Desk) -> None:
    answer = take(desk, 4)
    assert counted(desk) == [4, 0, 0, 0]
    desk.now = 0.25
    assert desk.ack(batch(answer)) == [Status.DONE]
    assert counted(desk) == [4, 4, 0, 0]
    latency = desk.queue.leases.windows.tallies(desk.now)["canary"].latency(0.5)
    assert latency == pytest.approx(0.25, rel=0.06)


def test_a_few_of_a_batch_and_none_of_them_twice(desk: Desk) -> None:
    first, second, *_ = leases(take(desk, 4))
    desk.ack(first, second)
    assert counted(desk) == [4, 2, 0, 0]
    assert desk.ack(first) == [Status.ALREADY_SETTLED]
    assert counted(desk) == [4, 2, 0, 0]


def test_nacks_and_rejects_say_the_same(desk: Desk) -> None:
    nacked, rejected, *_ = leases(take(desk, 4))
    desk.nack(nacked)
    desk.settle(Verb.REJECT, entry(rejected))
    assert counted(desk) == [4, 0, 2, 0]


def test_what_expires_is_not_acked_by_an_ack_that_comes_late(desk: Desk) -> None:
    held = lease(take(desk, 1, ack_wait=5.0))
    take(desk, 2, ack_wait=50.0)
    desk.pass_time(5.0)
    assert counted(desk) == [3, 0, 0, 1]
    assert desk.ack(held) == [Status.LATE]
    assert counted(desk) == [3, 0, 0, 1]


def test_an_answer_that_was_not_written_was_not_delivered(desk: Desk) -> None:
    lost = take(desk, 3)
    desk.queue.release(lost, desk.now)
    assert counted(desk) == [0, 0, 0, 0]
    desk.queue.release(lost, desk.now)
    assert counted(desk) == [0, 0, 0, 0], "once"


def test_a_loan_that_ends_before_anybody_has_seen_it_was_not_delivered(desk: Desk) -> None:
    answer = take(desk, 3, ack_wait=0.5)
    desk.queue.leases.lend(answer, desk.now + 2.0)
    desk.pass_time(2.0)
    assert counted(desk) == [0, 0, 0, 0]


def test_an_ack_of_many_is_counted_in_one_go(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it costs does not grow with the batch."""
    calls: list[int] = []
    acked, delivered = Windows.acked, Windows.delivered

    def count_acked(self: Windows, group: str, seconds: float, count: int, now: float) -> None:
        calls.append(count)
        acked(self, group, seconds, count, now)

    def count_delivered(self: Windows, group: str, count: int, now: float) -> None:
        calls.append(count)
        delivered(self, group, count, now)

    monkeypatch.setattr(Windows, "acked", count_acked)
    monkeypatch.setattr(Windows, "delivered", count_delivered)
    desk.ack(batch(take(desk, 6)))
    assert calls == [6, 6]
    assert counted(desk) == [6, 6, 0, 0]
