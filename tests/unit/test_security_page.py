"""`docs/security.md` says of every option of security how it was tried, and names no option that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fanout_app.options import TABLE
from fanout_app.security_options import SECURITY_OPTIONS

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
#: Of other programs, and of `fanout` where it runs no worker.
FOREIGN = {"--cacert", "--cert", "--key"}


def test_every_option_of_security_was_tried() -> None:
    tried = PAGE.partition("| option | tried with |")[2].partition("\n\n")[0]
    assert {option.opts[0] for option in SECURITY_OPTIONS} <= set(re.findall(r"`(--[a-z-]+)`", tried))


def rows(heading: str) -> list[str]:
    """Those of the table under it, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("row", [*rows("What was tried"), *rows("What is refused")])
def test_every_row_is_caused_by_tests_that_there_are(row: str) -> None:
    *_, named = row.strip(" |").split(" | ")
    names = re.findall(r"`(test_\w+)::(\w+)`", named)
    assert names, "no test is named"
    for file, name in names:
        (path,) = TESTS.rglob(f"{file}.py")
        found = re.findall(rf"^(?:async )?def test_{name}\w*\(", path.read_text(), re.MULTILINE)
        assert len(found) == 1, f"{file} has {len(found)} tests that begin with {name}"


def test_every_option_that_is_named_is_one() -> None:
    known = {option.opts[0] for option in TABLE}
    assert set(re.findall(r"(?<!\w)--[a-z][a-z-]+", PAGE)) - FOREIGN <= known
