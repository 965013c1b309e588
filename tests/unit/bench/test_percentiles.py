"""Percentiles of what Python times, by the rule of the load generator in Go."""

from __future__ import annotations

import pytest

from benchmarks.peers.percentiles import percentiles
from benchmarks.peers.system import Percentiles


def test_of_a_thousand_in_any_order() -> None:
    seconds = [number / 1000 for number in reversed(range(1000))]
    assert percentiles(seconds) == Percentiles(p50=500.0, p99=990.0, p999=999.0)


def test_of_a_few_the_last_ones_are_the_longest() -> None:
    assert percentiles([0.003, 0.001, 0.002]) == Percentiles(p50=2.0, p99=3.0, p999=3.0)


def test_of_one() -> None:
    assert percentiles([0.25]) == Percentiles(p50=250.0, p99=250.0, p999=250.0)


def test_there_are_none_of_nothing() -> None:
    with pytest.raises(IndexError):
        percentiles([])
