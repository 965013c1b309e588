"""Each block of commands in the documents says whether it is run, and what counts as printed is what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.pages import ROOT, agrees, blocks, faults, pages

ONE = """Text.

<!-- run -->
```sh
echo one
```
<!-- shows -->
```text
one
```
"""


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_commands_is_run_or_says_why_not(page: Path) -> None:
    assert faults(page.read_text()) == []


def test_the_readme_and_the_quickstart_are_among_them() -> None:
    assert {ROOT / "README.md", ROOT / "docs" / "quickstart.md"} <= set(pages())


def test_blocks_have_their_line_language_mark_and_text() -> None:
    run, shown = blocks(ONE)
    assert (run.line, run.language, run.is_run, run.text) == (4, "sh", True, "echo one")
    assert (shown.line, shown.language, shown.is_shown, shown.text) == (8, "text", True, "one")


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("<!-- run -->\n", "", "line 3: no mark"),
        ("<!-- run -->", "<!-- not run: -->", "line 4: no mark"),
        ("<!-- run -->", "<!-- run it -->", "line 4: no mark"),
        ("<!-- run -->", "<!-- run -->\n", "line 3: a mark stands"),
        ("```sh", "```", ""),
        ("```sh", "```bash", ""),
        ("```sh", "```go", "line 4: only blocks of a shell"),
        ("<!-- run -->", "<!-- not run: it takes hours -->", "line 8: the block before it is not run"),
        ("<!-- shows -->", "", ""),
        ("<!-- shows -->\n```text", "```", "line 7: no mark"),
    ],
)
def test_what_is_wrong_with_a_mark_is_said_with_its_line(before: str, after: str, says: str) -> None:
    assert before in ONE
    found = faults(ONE.replace(before, after))
    assert any(fault.startswith(says) for fault in found) if says else found == []


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("one", "one\n", True),
        ("one", "one\ntwo\n", False),
        ("one", "", False),
        ("one\n...", "one\ntwo\n", True),
        ("...", "whatever", True),
        ("a...c", "a\nb\nc", True),
        ("a...c", "a\nb\nd", False),
        ('{"a": 1}', '{"a":1}', True),
        ("a+", "aa", False),
    ],
)
def test_three_dots_stand_for_anything_and_nothing_else_does(shown: str, said: str, same: bool) -> None:
    assert agrees(shown, said) is same
