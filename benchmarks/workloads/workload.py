"""What bin/bench asks of a workload, and what a round of it answers.

The runner repeats rounds, so that whatever else the machine does meanwhile falls on all systems alike, and takes the
median of each figure over the rounds, by case and system. What is compared is measured in one round.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.peers.system import System


@dataclass(frozen=True)
class Row:
    """What one system came to in one case, in one round."""

    #: `System.name`, or a variant of fanout that the workload names itself.
    system: str
    #: Short, with units, the same words in each round: "100 B, batches of 500, 4 clients".
    case: str
    #: By what it is, with its unit: {"msg/s": 190_000.0, "worker us/msg": 2.6, "hand-out p99 ms": 7.1}.
    figures: Mapping[str, float]
    #: What one has to know to read the figures: durability, what a batch is there, how CPU was counted.
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CannotBeRun:
    """In the place of a row, where a system cannot do a case."""

    system: str
    case: str
    reason: str


@dataclass(frozen=True)
class Ratio:
    """A line that the results have to keep: one figure of a case over another, in the same round; the median."""

    #: What it says, in the words of the page on performance.
    text: str
    #: (system, case, figure)
    of: tuple[str, str, str]
    #: The same, or a number where the bound is no other system's: bytes, milliseconds.
    to: tuple[str, str, str] | float
    #: The ratio that is asked for, exactly one of the two.
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Round:
    """What a round is given."""

    #: An empty directory of this round, removed after it.
    where: Path
    #: Those of the systems that `--peers` selects, in the order of this round (each round begins with another one).
    #: fanout's own variants are always among them. They are to be used as `System` only: what is given stands before
    #: the system itself, and shows what it does. After a failure a round goes on with those that were not started yet.
    systems: Sequence[System]
    #: True for a round of seconds that shows that everything works, and not how fast: the smoke test of bin/test.
    quick: bool
    #: `--only`: how the names of the cases begin that are to be run; all where it is empty.
    only: str = ""

    def wants(self, case: str) -> bool:
        """Whether a case is to be run; a workload that does not ask has its other rows thrown away."""
        return case.startswith(self.only)


class Workload(Protocol):
    """One workload: the object `WORKLOAD` of a module that `benchmarks/workloads/all.py` lists."""

    #: `bin/bench NAME`.
    name: str
    #: One line: what is measured.
    title: str
    #: Whether peers take part; without them `Round.systems` is empty.
    with_peers: bool
    ratios: Sequence[Ratio]

    def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
        """Measure everything once; a row is yielded as soon as it is there, and shown.

        What is raised is a failure of the system that was started last, and named as such; CannotRun is its reason.
        """
