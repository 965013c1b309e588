"""Percentiles of durations, by the same rule as the load generator in Go has."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.peers.system import Percentiles


def percentiles(seconds: Iterable[float]) -> Percentiles:
    """In milliseconds: with all of them sorted, those at these shares. Raises IndexError where there are none."""
    timed = sorted(seconds)

    def at(share: float) -> float:
        return timed[min(int(share * len(timed)), len(timed) - 1)] * 1000

    return Percentiles(at(0.5), at(0.99), at(0.999))
