"""`docs/operations.md` lists every option as the command knows it, and every exit code."""

from __future__ import annotations

from pathlib import Path

import click

from fanout_app.exits import EXIT_FAULT, EXIT_START, EXIT_STOPPED
from fanout_app.options import TABLE

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()


def row(option: click.Option) -> str:
    name = option.opts[0]
    default = option.default if isinstance(option.default, (str, int, float)) else None
    shown = "required" if option.required else "" if default in (None, "", False) else f"`{default}`"
    return f"| `{name}` | `{option.envvar}` | {shown} | {option.help} |"


def test_every_option_is_there_as_the_command_has_it() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `--")]
    assert rows == [row(option) for option in TABLE]


def test_every_exit_code_is_there() -> None:
    codes = [line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert codes == [str(code) for code in (EXIT_STOPPED, EXIT_FAULT, EXIT_START)]
