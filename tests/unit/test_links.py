"""Links and tests that documents name are there, and every decision is in the index of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.pages import ROOT, pages

DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = [
    *pages(),
    *sorted(DECISIONS.glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "compose" / "README.md",
]


def anchors(document: Path) -> set[str]:
    """What its headings are called in a link, as GitHub does it."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name) if name else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_that_is_named_is_there(document: Path) -> None:
    for named in re.findall(r"(?:tests/\w+/(?:\w+/)?)?test_\w+\.py", document.read_text()):
        assert (ROOT / named).exists() if "/" in named else list((ROOT / "tests").rglob(named)), named


def test_every_decision_is_in_the_index() -> None:
    index = (DECISIONS / "README.md").read_text()
    assert sorted(re.findall(r"\]\((\d{4}[^)]*)\)", index)) == sorted(path.name for path in DECISIONS.glob("0*.md"))
