"""The results as text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from benchmarks.run.results import Results
from benchmarks.run.rounds import Measured
from benchmarks.run.summary import Judged, Medians, Spread
from benchmarks.workloads.workload import Ratio


def text_of(results: Results) -> str:
    """Tables of the cases, the ratios, what was not run, what failed, and what each system is."""
    parts = [_heading(results)]
    for case, some in groupby(results.medians, key=lambda one: one.case):
        parts.append(f"{case}\n{_case(list(some))}{_notes(results.rows, case)}")
    if results.ratios:
        parts.append("Ratios, within each round\n" + _ratios(results.ratios))
    if results.not_run:
        lines = [f"  {one.system}{f', {one.case}' if one.case else ''}: {one.reason}" for one in results.not_run]
        parts.append("Could not be run\n" + "\n".join(lines))
    if results.failures:
        lines = [f"  round {one.round}, {one.system}: {one.error}" for one in results.failures]
        parts.append("FAILED\n" + "\n".join(lines))
    if results.systems:
        parts.append("Systems\n" + _systems(results))
    return "\n\n".join(parts) + "\n"


def figure(value: float) -> str:
    """A whole number, or with so many decimals that there are two or three digits that say something."""
    size = abs(value)
    if size >= 99.95 or value == int(value):
        return f"{value:,.0f}"
    if size < 0.1:
        return f"{value:.2g}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def spread(one: Spread) -> str:
    """The median, and the least and the most where they differ."""
    if one.least == one.most:
        return figure(one.median)
    return f"{figure(one.median)} ({figure(one.least)}..{figure(one.most)})"


def swing(one: Spread) -> str:
    """The median, and half of the way from the least to the most in percent of it."""
    if one.least == one.most or not one.median:
        return figure(one.median)
    return f"{figure(one.median)} ±{50 * (one.most - one.least) / abs(one.median):.0f}%"


def table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the heading; the first column is text, the others are figures."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *rest = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def _heading(results: Results) -> str:
    about = results.circumstances
    machine = ", ".join(f"{name} {value}" for name, value in about.machine.items())
    return (
        f"{results.workload}: {results.title}\n"
        f"{_of_rounds(results.repeats)}, {about.date}, fanout {about.commit[:12]}"
        f"{about.commit[40:]}, load before {about.load_before:.2f}\n{machine}"
        + ("\nQUICK: these figures show that everything works, and not how fast." if results.quick else "")
    )


def _of_rounds(repeats: int) -> str:
    return "One round" if repeats == 1 else f"Medians of {repeats} rounds (least..most; ± is half of that)"


def _case(some: Sequence[Medians]) -> str:
    names = list(dict.fromkeys(name for one in some for name in one.figures))
    rows = [["", *names]]
    for one in some:
        # The whole spread of the first figure only, or a line would be twice as long as most screens are wide.
        cells = [
            (swing if at else spread)(one.figures[name]) if name in one.figures else "-"
            for at, name in enumerate(names)
        ]
        rows.append([one.system, *cells])
    return table(rows)


def _notes(rows: Sequence[Measured], case: str) -> str:
    """Each system's, once; a line of its own for each."""
    said = dict.fromkeys(
        f"\n  ({one.row.system}: {what} {note})"
        for one in rows
        if one.row.case == case
        for what, note in one.row.notes.items()
    )
    return "".join(said)


def _ratios(ratios: Sequence[Judged]) -> str:
    rows = [["", "is", "asked", ""]]
    words = {True: "kept", False: "MISSED", None: "not measured"}
    for one in ratios:
        was = spread(one.was) if one.was else "-"
        rows.append([one.ratio.text, was, asked_for(one.ratio), words[one.kept]])
    return table(rows)


def asked_for(ratio: Ratio) -> str:
    """The bound in words."""
    return f"at least {ratio.at_least:g}" if ratio.at_least is not None else f"at most {ratio.at_most:g}"


def _systems(results: Results) -> str:
    lines = []
    for name, about in results.systems.items():
        versions = ", ".join(f"{what} {version}" for what, version in about.versions.items())
        lines.append(f"  {name}: {versions}\n    durable: {about.durability}\n    batch: {about.batch}")
    return "\n".join(lines)
