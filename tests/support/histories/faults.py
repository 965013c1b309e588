"""What a rule of the judge finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from support.histories.view import History

#: What is said, and the lines of the history that prove it.
Found = Iterator[tuple[str, Iterable[int]]]
Rule = Callable[[History], Found]


@dataclass(frozen=True, slots=True)
class Fault:
    rule: str
    says: str
    #: The lines of the history that prove it, counted from 1.
    lines: tuple[int, ...]
