"""``fanout --help`` teaches how to begin, and shows each option once, where one would look for it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

from fanout_app.help import SECTIONS
from fanout_app.memory_options import MEMORY_OPTIONS
from fanout_app.options import TABLE


def shown() -> str:
    command = [sys.executable, "-m", "fanout_app", "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_each_option_is_in_one_section() -> None:
    sorted_in = Counter(name for names in SECTIONS.values() for name in names)
    assert sorted_in == Counter([*(str(option.name) for option in (*TABLE, *MEMORY_OPTIONS)), "version", "help"])


def test_it_says_how_to_begin_and_then_shows_every_option() -> None:
    text = shown()
    begin = text.index("Start a worker, take a message")
    places = [text.index(f"\n{section}:") for section in SECTIONS]
    assert [begin, *places] == sorted([begin, *places])
    names = re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)
    assert Counter(names) == Counter([option.opts[0] for option in (*TABLE, *MEMORY_OPTIONS)] + ["--version", "--help"])
    assert "curl -i -X POST localhost:6066/v1/next\n" in text, "lines of an example are not joined"
