"""The results as a picture: bars of medians, a line from the least to the most of the rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.run.results import Results
from benchmarks.run.summary import Medians, Spread
from benchmarks.run.table import figure


@dataclass(frozen=True)
class Panel:
    """Bars of one figure."""

    title: str
    #: The figure's name, which has its unit.
    unit: str
    #: By label.
    bars: Sequence[tuple[str, Spread]]


def panels(some: Sequence[Medians]) -> list[Panel]:
    """For each case with several systems the first figure of each, and those with one system together by figure."""
    cases: dict[str, list[Medians]] = {}
    for one in some:
        if one.figures:
            cases.setdefault(one.case, []).append(one)
    compared: list[Panel] = []
    alone: dict[str, list[tuple[str, Spread]]] = {}
    for case, systems in cases.items():
        unit = next(iter(systems[0].figures))
        if len(systems) > 1:
            bars = [(one.system, one.figures[unit]) for one in systems if unit in one.figures]
            compared.append(Panel(case, unit, bars))
        else:
            alone.setdefault(unit, []).append((f"{systems[0].system}, {case}", systems[0].figures[unit]))
    return [*compared, *(Panel("", unit, bars) for unit, bars in alone.items())]


def draw(results: Results, folder: Path) -> Path | None:
    """Answers the file; None where there is nothing to draw. Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parts = panels(results.medians)
    if not parts:
        return None
    heights = [1 + 0.35 * len(part.bars) for part in parts]
    shape: dict[str, Any] = {"figsize": (9, sum(heights)), "layout": "constrained", "height_ratios": heights}
    whole, places = pyplot.subplots(len(parts), 1, squeeze=False, **shape)
    for axes, part in zip(places.flat, parts, strict=True):
        _bars(axes, part)
    whole.suptitle(f"{results.workload}: medians of {results.repeats}, {results.circumstances.machine['cores']} cores")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{results.workload}.png"
    whole.savefig(file, dpi=90)
    pyplot.close(whole)
    return file


def _bars(axes: Any, part: Panel) -> None:
    labels = [label for label, _ in part.bars]
    values = [one.median for _, one in part.bars]
    below = [one.median - one.least for _, one in part.bars]
    above = [one.most - one.median for _, one in part.bars]
    colours = ["tab:blue" if label.startswith("fanout") else "tab:gray" for label in labels]
    bars = axes.barh(labels, values, xerr=(below, above), color=colours)
    axes.bar_label(bars, [f" {figure(value)}" for value in values])
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(xlabel=part.unit, title=part.title)
    axes.grid(axis="x", alpha=0.3)
