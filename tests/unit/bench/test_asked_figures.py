"""The table of docs/performance.md has every ratio that a workload asks for, as `benchmarks/results` has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
WORKLOADS = ("drain", "paced", "slow", "idle", "growth", "forward")
HEAD = "| ratio within a round, median (least to most) | is | asked | |"


def asked(workload: str) -> Iterator[str]:
    """A line for each ratio of one workload."""
    read = json.loads((ROOT / "benchmarks" / "results" / f"{workload}.json").read_text())
    assert read["repeats"] == 5
    assert not read["quick"]
    for row in read["ratios"]:
        ratio, was = row["ratio"], row["was"]
        limit = f"at least {ratio['at_least']:g}" if ratio["at_least"] is not None else f"at most {ratio['at_most']:g}"
        figures = f"{was['median']:.3g} ({was['least']:.3g} to {was['most']:.3g})"
        yield f"| {workload}: {ratio['text']} | {figures} | {limit} | {'' if row['kept'] else '**missed**'} |"


def table() -> list[str]:
    lines = iter((ROOT / "docs" / "performance.md").read_text().splitlines())
    while next(lines) != HEAD:
        pass
    next(lines)
    shown = []
    while (line := next(lines)).startswith("|"):
        shown.append(line)
    return shown


def test_every_ratio_that_was_asked_is_shown_as_it_was_measured() -> None:
    assert table() == [line for workload in WORKLOADS for line in asked(workload)]
