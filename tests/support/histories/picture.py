"""Draws a history: what was handed out and settled each second, and what was done meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from support.histories.events import (
    DONE,
    AnyEvent,
    DrainBegan,
    Produced,
    Pulled,
    Settled,
    Settling,
    Struck,
)

_INCHES_A_MINUTE = 4.0
_WIDEST = 24.0
_HEIGHT = 5.0
_HEIGHT_OF_A_KIND = 0.2
#: Messages a second up to which the axis is even: what is handed out again after a reset is a hundred times as much.
_EVEN_UP_TO = 200


def draw(events: Sequence[AnyEvent], path: Path) -> None:
    """To a PNG file."""
    last = events[-1].at
    width = min(_WIDEST, max(10.0, last / 60 * _INCHES_A_MINUTE))
    spans = _spans(events, last)
    kinds = sorted({kind for kind, _, _ in spans}, reverse=True)
    heights = max(1.0, _HEIGHT_OF_A_KIND * len(kinds)), _HEIGHT
    figure, (strikes, axes) = pyplot.subplots(
        2, 1, sharex=True, figsize=(width, sum(heights) + 1.0), height_ratios=heights, layout="constrained"
    )
    seconds = range(int(last) + 1)
    for name, counts in _by_second(events).items():
        axes.plot(seconds, [counts[second] for second in seconds], label=name, linewidth=1.0)
    colours = pyplot.get_cmap("tab20")
    for kind, began, ended in spans:
        colour = colours(kinds.index(kind) % 20)
        axes.axvspan(began, ended, color=colour, alpha=0.25, linewidth=0)
        # One that is over at once is to be seen, too.
        strikes.barh(kinds.index(kind), max(ended - began, last / 400), left=began, color=colour)
    strikes.set_yticks(range(len(kinds)), kinds)
    strikes.set(title="strikes", xlim=(0, last))
    strikes.grid(axis="x", alpha=0.3)
    for event in events:
        if isinstance(event, DrainBegan):
            axes.axvline(event.at, color="black", linestyle=":", label="drain")
    axes.set_yscale("symlog", linthresh=_EVEN_UP_TO)
    axes.set(xlabel="seconds", ylabel="messages a second", ylim=(0, None))
    axes.margins(y=0.15)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", ncols=4)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _by_second(events: Sequence[AnyEvent]) -> dict[str, Counter[int]]:
    counts: dict[str, Counter[int]] = {"produced": Counter(), "delivered": Counter(), "settled": Counter()}
    asked: dict[int, Settling] = {}
    for event in events:
        match event:
            case Produced(outcome="ok"):
                counts["produced"][int(event.at)] += 1
            case Pulled():
                counts["delivered"][int(event.at)] += len(event.messages)
            case Settling():
                asked[event.op] = event
            case Settled():
                counts["settled"][int(event.at)] += sum(
                    entry.verb in ("ack", "reject") and status in DONE
                    for entry, status in zip(asked[event.op].entries, event.statuses, strict=False)
                )
            case _:
                pass
    return counts


def _spans(events: Sequence[AnyEvent], last: float) -> list[tuple[str, float, float]]:
    """Each strike, from its beginning to its end."""
    spans: list[tuple[str, float, float]] = []
    under_way: dict[int, tuple[str, float]] = {}
    for event in events:
        if isinstance(event, Struck) and not event.over:
            under_way[event.strike] = event.trouble, event.at
        elif isinstance(event, Struck):
            kind, began = under_way.pop(event.strike)
            spans.append((kind, began, event.at))
    return [*spans, *((kind, began, last) for kind, began in under_way.values())]
