"""Draws what grows how, from the results of the simulation and of what connections cost.

    .venv/bin/pip install -e '.[plots]' -c constraints.txt
    python -m benchmarks.scale_plot

Reads and writes in `benchmarks/results`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

RESULTS = Path(__file__).parent / "results"
SIZES = [3, 10, 100, 1000]


def read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def returned(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Of clusters with up to ten owners, by load and work."""
    for load, work, mark in ((0.2, 0.02, "o-"), (0.5, 0.02, "s-"), (0.8, 0.02, "^-"), (0.8, 0.2, "v--")):
        some = [row for row in rows if (row["load"], row["work_s"]) == (load, work) and row["owners"] <= 10]
        axes.plot(
            [row["workers"] for row in some],
            [100 * row["returned_share"] for row in some],
            mark,
            label=f"load {load}, work {1000 * work:.0f} ms",
        )
    axes.set(xscale="log", xlabel="workers, up to 10 of them owners", ylabel="%", title="Answers returned (simulated)")
    axes.legend()


def frames(axes: Any, rows: list[dict[str, Any]]) -> None:
    for load, mark in ((0.5, "s-"), (None, "o-")):
        some = sorted(
            (row for row in rows if row["load"] == load and row["work_s"] == 0.02), key=lambda row: row["owners"]
        )
        label = "clients wait" if load else "backlog"
        axes.plot([row["owners"] for row in some], [row["frames_per_message"] for row in some], mark, label=label)
    axes.set(xscale="log", yscale="log", xlabel="owners", title="Frames a message (simulated)")
    axes.legend()


def books(axes: Any, costs: dict[str, Any]) -> None:
    """What grows with the number of workers or owners in the books of each."""
    for part, name, mark, label in (
        ("roster", "present_us", "o-", "who is there"),
        ("routes", "turn_us", "s-", "whom to ask, for a pull under backlog"),
        ("routes", "told_moved_us", "^-", "an owner has other partitions"),
    ):
        axes.plot(SIZES, [costs[part][str(size)][name] for size in SIZES], mark, label=label)
    axes.set(xscale="log", yscale="log", xlabel="workers or owners", ylabel="us", title="CPU, once (measured)")
    axes.legend()


def waits(axes: Any, links: dict[str, Any]) -> None:
    sizes = sorted(map(int, links))
    here = [links[str(size)]["wait_in_vain_us"] / 1000 for size in sizes]
    there = [links[str(size)]["wait_in_vain_us_at_each_owner"] * size / 1000 for size in sizes]
    axes.plot(sizes, here, "o-", label="at the worker asked")
    axes.plot(sizes, there, "s-", label="at all owners together")
    axes.set(
        xscale="log", yscale="log", xlabel="owners", ylabel="ms", title="CPU for a pull that waits in vain (measured)"
    )
    axes.legend()


def main() -> None:
    figure, places = pyplot.subplots(2, 2, figsize=(11, 8), layout="constrained")
    rows = read("simulated_clusters")["rows"]
    returned(places[0][0], rows)
    frames(places[0][1], rows)
    books(places[1][0], read("core_growth"))
    waits(places[1][1], read("scale_links")["peers"])
    for axes in places.flat:
        axes.grid(alpha=0.3)
    figure.savefig(RESULTS / "what_grows.png", dpi=90)


if __name__ == "__main__":
    main()
