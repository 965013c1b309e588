"""The commands that the documents show, as they stand; tests/acceptance/test_readme.py has those of the README."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.pages import ROOT, blocks, pages, run

_RUN = [
    page for page in pages() if page != ROOT / "README.md" and any(block.is_run for block in blocks(page.read_text()))
]


@pytest.mark.parametrize("page", _RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    run(page, tmp_path)
