"""Rows that grow: one warning that says who holds them up, and an intake that stops before they do not fit."""

from __future__ import annotations

import pytest

from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.row_watch import RowWatch
from unit.core.desk import Desk, lease

LIMIT = 1000


@pytest.fixture
def desk() -> Desk:
    return Desk(limits=Limits(max_row_bytes=LIMIT, max_deliver=2, long_delay=10.0))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "fanout.row_watch"]


def test_there_is_one_warning_at_80_percent_and_none_below(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    watch = RowWatch(desk.queue)
    watch.written(0, 799)
    assert told(caplog) == []
    for size in (800, 900, 999):
        watch.written(0, size)
    (warning,) = told(caplog)
    assert "partition 0: its ledger row has 800 of at most 1000 bytes" in warning


def test_there_is_another_one_only_after_it_has_calmed_down(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    watch = RowWatch(desk.queue)
    for size in (800, 600, 800):
        watch.written(0, size)
    assert len(told(caplog)) == 1
    for size in (599, 800):
        watch.written(0, size)
    assert len(told(caplog)) == 2


def test_partitions_are_warned_of_one_by_one(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.assign(1)
    watch = RowWatch(desk.queue)
    watch.written(0, 800)
    watch.written(1, 800)
    assert len(told(caplog)) == 2


@pytest.mark.parametrize("where", ["waits", "held", "delayed", "asleep", "spent"])
def test_it_says_what_the_oldest_unsettled_message_waits_for(
    desk: Desk, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    desk.fetch(0, 1)
    if where != "waits":
        ref = lease(desk.pull("the slow one"))
        if where in ("delayed", "asleep"):
            desk.nack(ref, delay=5.0 if where == "delayed" else 60.0)
        elif where == "spent":
            desk.nack(ref)
            desk.nack(lease(desk.pull("another one")))
            assert list(desk[0].spent) == [0]
    RowWatch(desk.queue).written(0, 900)
    (warning,) = told(caplog)
    assert "the oldest unsettled message is 0/0" in warning
    assert {
        "waits": "waiting for a client",
        "held": "held by client the slow one",
        "delayed": "waiting for its delay after a nack",
        "asleep": "waiting for its delay after a nack",
        "spent": "waiting to be written as a dead letter",
    }[where] in warning


def test_at_100_percent_intake_stops_and_goes_on_below(desk: Desk) -> None:
    desk.assign(1)
    desk.wait("A")
    watch = RowWatch(desk.queue)
    wants = {999: True, 1000: False, 1200: False, 900: True}
    for size, wanted in wants.items():
        went_on = watch.written(0, size)
        assert went_on == (size == 900), "only then there is something to wake the intake for"
        assert desk.queue.wants(0, desk.now) == wanted
        assert desk.queue.wants(1, desk.now)
    assert desk[0].full() is None


def test_a_partition_that_went_while_its_row_was_written_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    empty = Dispatcher(Limits(max_row_bytes=LIMIT), new_batch=lambda: 1, jitter=lambda: 0.0)
    assert not RowWatch(empty).written(0, 5000)
    assert told(caplog) == []


def test_a_partition_that_comes_back_is_warned_of_again(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    watch = RowWatch(desk.queue)
    watch.written(0, 900)
    desk.queue.drop(0, desk.now)
    desk.assign(0)
    watch.written(0, 900)
    assert len(told(caplog)) == 2
