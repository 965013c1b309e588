"""One thing that ``fanout doctor`` has looked at, and what came of it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Level(Enum):
    """How bad it is; the values are what is printed."""

    GOOD = "ok"
    #: It works, and may surprise somebody.
    LOOK = "look"
    #: A worker does not start so, or does not work.
    WRONG = "wrong"


class Finding(NamedTuple):
    """The text of what is wrong says what to do about it."""

    level: Level
    text: str


def good(text: str) -> Finding:
    return Finding(Level.GOOD, text)


def look(text: str) -> Finding:
    return Finding(Level.LOOK, text)


def wrong(text: object) -> Finding:
    return Finding(Level.WRONG, " ".join(str(text).split()))
