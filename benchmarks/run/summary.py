"""Medians of figures, and of ratios of figures of the same round. No clock, no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.run.rounds import Measured
from benchmarks.workloads.workload import Ratio


@dataclass(frozen=True)
class Spread:
    """Of one value over the rounds that have it."""

    median: float
    least: float
    most: float
    rounds: int


@dataclass(frozen=True)
class Medians:
    """Of one system in one case."""

    system: str
    case: str
    #: By name of the figure, in the order of the rows.
    figures: Mapping[str, Spread]


@dataclass(frozen=True)
class Judged:
    """A ratio that is asked for, and what it was."""

    ratio: Ratio
    #: None where no round has both figures.
    was: Spread | None
    #: By the median; None where there is none.
    kept: bool | None


def medians(rows: Sequence[Measured]) -> list[Medians]:
    """In the order in which they were first measured, all systems of a case together."""
    values: dict[str, dict[str, dict[str, dict[int, float]]]] = {}
    for one in rows:
        row = one.row
        figures = values.setdefault(row.case, {}).setdefault(row.system, {})
        for name, value in row.figures.items():
            # By round: what is measured again after a failure counts once.
            figures.setdefault(name, {})[one.round] = value
    return [
        Medians(system, case, {name: _spread(list(by_round.values())) for name, by_round in figures.items()})
        for case, systems in values.items()
        for system, figures in systems.items()
    ]


def judged(ratios: Sequence[Ratio], rows: Sequence[Measured]) -> list[Judged]:
    """Each ratio, in its order."""
    return [_judged(ratio, rows) for ratio in ratios]


def _judged(ratio: Ratio, rows: Sequence[Measured]) -> Judged:
    above = _by_round(ratio.of, rows)
    below = ratio.to if isinstance(ratio.to, float | int) else _by_round(ratio.to, rows)
    quotients = []
    for round, value in above.items():
        divisor = below if isinstance(below, float | int) else below.get(round)
        if divisor:
            quotients.append(value / divisor)
    if not quotients:
        return Judged(ratio, None, None)
    was = _spread(quotients)
    return Judged(ratio, was, _kept(ratio, was.median))


def _kept(ratio: Ratio, value: float) -> bool:
    if ratio.at_least is not None:
        return value >= ratio.at_least
    if ratio.at_most is not None:
        return value <= ratio.at_most
    raise ValueError(f"the ratio {ratio.text!r} asks for nothing")


def _by_round(what: tuple[str, str, str], rows: Sequence[Measured]) -> Mapping[int, float]:
    system, case, figure = what
    return {
        one.round: one.row.figures[figure]
        for one in rows
        if (one.row.system, one.row.case) == (system, case) and figure in one.row.figures
    }


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values), len(values))
