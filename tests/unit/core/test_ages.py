"""How old what is handed out is, as it is counted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fanout_app.core.ages import Ages
from fanout_app.core.lease import LeaseRun
from support.messages import FakeMessage

#: Milliseconds since 1970.
NOW = 1_800_000_000_000


def run(*ages: float, delivery_count: int = 1, timestamps: Sequence[int] = ()) -> LeaseRun:
    """Messages so many seconds old."""
    stamps = timestamps or [int(NOW - 1000 * age) for age in ages]
    return LeaseRun(
        batch=1,
        partition=0,
        era=0,
        client="a",
        group="stable",
        messages=[FakeMessage(offset, timestamp=stamp) for offset, stamp in enumerate(stamps)],
        delivery_count=delivery_count,
        delivered_at=0.0,
        ack_wait=1.0,
    )


def test_messages_count_by_the_first_bound_that_is_not_below_their_age() -> None:
    ages = Ages((1, 5))
    ages.handed_out([run(1.0), run(1.5), run(5.0)], NOW)
    ages.handed_out([run(5.001)], NOW)
    assert ages.counts == [1, 2, 1]
    assert ages.seconds == pytest.approx(1 + 1.5 + 5 + 5.001)


def test_those_of_a_run_count_as_the_oldest() -> None:
    ages = Ages((1, 5))
    ages.handed_out([run(4.0, 0.5, 0.25)], NOW)
    assert (ages.counts, ages.seconds) == ([0, 3, 0], 12)


def test_a_redelivery_does_not_count() -> None:
    ages = Ages((1,))
    ages.handed_out([run(0.5, delivery_count=2), run(0.5)], NOW)
    assert ages.counts == [1, 0]


def test_a_message_without_a_timestamp_has_no_age_and_one_ahead_of_our_clock_is_new() -> None:
    ages = Ages((1,))
    ages.handed_out([run(timestamps=[-1]), run(-60.0)], NOW)
    assert (ages.counts, ages.seconds) == ([1, 0], 0)
