"""`docs/architecture.md`: its prompt says what the queue does, and every file that it names is there."""

from __future__ import annotations

import doctest
import re

import pytest

from support.pages import ROOT

PAGE = ROOT / "docs" / "architecture.md"
#: Where a path may begin, as the page says.
_FOLDERS = (ROOT, ROOT / "fanout_app")


def named() -> list[str]:
    """Everything in the page that looks like a file or folder of the source."""
    return sorted(
        set(re.findall(r"(?<![\w/.])(?:[a-z_]+/)*[a-z_]+\.py\b|\bfanout_app(?:/[a-z_]+)+\b", PAGE.read_text()))
    )


def test_the_queue_does_in_a_prompt_what_the_page_shows() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert (failed, tried > 10) == (0, True)


@pytest.mark.parametrize("name", named())
def test_every_file_that_is_named_is_there(name: str) -> None:
    assert any((folder / name).exists() for folder in _FOLDERS)
