"""The first steps of the README, run as they stand: a message is taken and acked."""

from __future__ import annotations

from pathlib import Path

from support.pages import ROOT, blocks, run

README = ROOT / "README.md"


def test_the_commands_of_the_readme_do_what_it_says(tmp_path: Path) -> None:
    assert sum(block.is_run for block in blocks(README.read_text())) >= 3, "the first steps are not among them"
    run(README, tmp_path)
