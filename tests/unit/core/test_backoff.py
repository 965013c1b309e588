"""How long a nacked message rests when nobody says how long."""

from __future__ import annotations

import pytest

from fanout_app.core.redelivery import Backoff


@pytest.mark.parametrize(
    ("delivery_count", "seconds"),
    [(1, 0.0), (2, 0.1), (3, 0.2), (4, 0.4), (11, 51.2), (12, 60.0), (5000, 60.0)],
)
def test_nothing_at_first_then_doubling_up_to_the_longest(delivery_count: int, seconds: float) -> None:
    assert Backoff().delay(delivery_count, 0.0) == pytest.approx(seconds)


def test_jitter_takes_up_to_half_of_it_off() -> None:
    backoff = Backoff(first=8.0)
    assert backoff.delay(2, 0.5) == 6.0
    assert 4.0 < backoff.delay(2, 0.999) < 4.01
