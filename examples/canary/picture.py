"""Draws the story: who booked how much, and the canary's share with what its weight said."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from textwrap import fill

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from examples.canary.record import CANARY, STABLE, Held, Record

_BLUE, _GREEN, _RED, _GREY = "#4878a8", "#5aa469", "#c8443c", "#555555"


_KINDS = ((STABLE, False), (CANARY, False), (CANARY, True))
#: Seconds that are counted together.
_BIN = 0.5


def draw(record: Record, path: Path) -> None:
    """To a PNG file."""
    bins = range(int(max(tried.at for tried in record.tried) / _BIN))  # the last one is not over
    middles = [(number + 0.5) * _BIN for number in bins]
    last = len(bins) * _BIN
    figure, (rates, shares) = pyplot.subplots(
        2, 1, sharex=True, figsize=(11.0, 6.5), height_ratios=(3, 2), layout="constrained"
    )
    counts = Counter((int(tried.at / _BIN), tried.group, tried.failed) for tried in record.tried)
    rates.stackplot(
        middles,
        [
            [counts[number, *kind] / _BIN for number in bins]
            for kind in ((STABLE, False), (CANARY, False), (CANARY, True))
        ],
        labels=("booked by v1 (stable)", "booked by v2 (canary)", "failed by v2, then booked by v1"),
        colors=(_BLUE, _GREEN, _RED),
    )
    rates.set(ylabel="orders a second", ylim=(0, None), title="A new release on a small share, taken out by its guard")
    rates.legend(loc="lower left", framealpha=0.95)

    measured = []
    for number in bins:
        by_canary = counts[number, CANARY, False] + counts[number, CANARY, True]
        everything = by_canary + counts[number, STABLE, False]
        measured.append(100 * by_canary / everything if everything else 0.0)
    shares.plot(middles, measured, "o-", color=_GREEN, markersize=3, label="measured")
    times = [*(held.at for held in record.held), last]
    weights = [held.weight for held in record.held]
    shares.step(times, [*weights, weights[-1]], where="post", color=_GREY, label="weight")
    shares.set(ylabel="canary's share, %", xlabel="seconds", ylim=(-2, max(40, *measured) * 1.25), xlim=(0, last))
    shares.legend(loc="upper left", framealpha=0.95)
    shares.grid(alpha=0.3)
    _mark(record, rates, shares)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _mark(record: Record, rates: pyplot.Axes, shares: pyplot.Axes) -> None:
    """What happened, and when."""
    marks = [(held.at, f"{held.weight} %") for held in _changes(record.held) if held.weight]
    if record.dollars_from is not None:
        marks.append((record.dollars_from, "orders in\ndollars begin"))
    for at, text in marks:
        for axes in (rates, shares):
            axes.axvline(at, color=_GREY, linestyle=":", linewidth=1)
        rates.annotate(text, (at, 0.97), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points",
                       va="top", fontsize=9)  # fmt: skip
    out = record.rolled_back
    if out is not None:
        for axes in (rates, shares):
            axes.axvline(out.at, color=_RED, linewidth=1.5)
        text = fill(f"rolled back: {out.reason}", 36)
        shares.annotate(text, (out.at, 0.95), xycoords=("data", "axes fraction"), xytext=(6, 0),
                        textcoords="offset points", va="top", color=_RED, fontsize=9)  # fmt: skip


def _changes(held: list[Held]) -> list[Held]:
    return [one for before, one in zip([None, *held], held, strict=False) if not before or before.weight != one.weight]
