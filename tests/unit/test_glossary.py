"""What `docs/glossary.md` says that things are not called, no document calls them."""

from __future__ import annotations

import re

import pytest

from support.pages import ROOT, pages

GLOSSARY = ROOT / "docs" / "glossary.md"


def avoided() -> list[str]:
    """The words of the last column."""
    rows = [line.split("|") for line in GLOSSARY.read_text().splitlines() if line.startswith("| **")]
    return [word.strip() for row in rows for word in row[3].split(",") if word.strip()]


@pytest.mark.parametrize("word", avoided())
def test_nothing_is_called_by_a_word_that_is_for_something_else(word: str) -> None:
    said = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    documents = [*pages(), *(ROOT / "docs" / "decisions").glob("*.md")]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in documents
        if path != GLOSSARY
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if said.search(line)
    ]
    assert found == []


def test_the_words_are_read() -> None:
    assert {"visibility timeout", "nak", "master"} <= set(avoided())
