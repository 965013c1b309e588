"""The tables of `docs/api.md`, for the tests that hold it against the code."""

from __future__ import annotations

from pathlib import Path

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def table(head: str) -> list[list[str]]:
    """The rows of the page's table with this head."""
    lines = PAGE.splitlines()
    rows = []
    for line in lines[lines.index(head) + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def routes() -> list[tuple[str, str, str]]:
    """Method, address and role of everything that is served."""
    return [
        (method.strip("` "), address.strip("`"), role.strip("`"))
        for address, methods, role, _ in table("| address | methods | role | |")
        for method in methods.split(",")
    ]
