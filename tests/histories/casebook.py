"""Where hand-written histories are kept: for each rule one that breaks it and, one detail away, one that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from histories.handwritten import Script, handed


@dataclass(frozen=True, slots=True)
class Case:
    rule: str
    name: str
    write: Callable[[Script, bool], None]

    def script(self, *, wrong: bool) -> Script:
        script = Script()
        self.write(script, wrong)
        return script


CASES: list[Case] = []


def case(rule: str) -> Callable[[Callable[[Script, bool], None]], Callable[[Script, bool], None]]:
    """The function writes a history; with ``wrong`` one that breaks the rule, and this rule alone."""

    def add(write: Callable[[Script, bool], None]) -> Callable[[Script, bool], None]:
        CASES.append(Case(rule, write.__name__, write))
        return write

    return add


def acked_in_the_drain(
    script: Script, *offsets: int, at: float = 90.0, partition: int = 0, count: int = 1, ends: int = 0
) -> None:
    """How every history ends well: these come, are acked, and the group's offset is the end."""
    end = max(ends, max(offsets, default=-1) + 1)
    for lease, offset in enumerate(offsets, 900):
        script.pull(at, at + 0.1, handed(lease, offset, count, partition=partition), client="drain")
        script.ack(at + 0.2, at + 0.3, lease)
    script.committed(at + 0.9, {partition: end})
    script.drained(at, at + 1.0, {partition: end})
