"""The settle table of docs/api.md and that of the core are one table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fanout_app.core.requests import Status, Verb
from fanout_app.core.settling import TABLE, Case

pytestmark = pytest.mark.usefixtures("heads")

DOCS = Path(__file__).parents[3] / "docs" / "api.md"
HEAD = "| case | `status` | code on the single form |"


def _rows() -> list[list[str]]:
    lines = DOCS.read_text().splitlines()
    start = lines.index(HEAD) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def _case(text: str) -> Case:
    (case,) = [case for case in Case if case.value in text]
    return case


def _verbs(text: str) -> list[Verb]:
    named = re.match(r"([a-z, ]+?) after ", text)
    return [Verb(word) for word in named[1].split(", ")] if named else list(Verb)


def test_the_page_says_what_the_core_does() -> None:
    said: dict[Case, dict[Verb, Status]] = {}
    for text, status, _code in _rows():
        name = re.match(r"`(\w+)`", status)
        for verb in _verbs(text):
            said.setdefault(_case(text), {})[verb] = Status(name[1]) if name else Status.DONE
    assert said == TABLE


def test_the_cases_are_looked_at_in_the_order_of_the_page() -> None:
    assert list(dict.fromkeys(_case(text) for text, *_ in _rows())) == list(Case)
