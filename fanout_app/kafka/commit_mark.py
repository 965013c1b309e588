"""The mark that our commits bear in the metadata of a group's offset: it says of which era the floor was.

An offset without one was set by somebody else; the tools of operators write none.
"""

from __future__ import annotations

import re

_MARK = re.compile(r"fanout era=(\d{1,10})")


def commit_mark(era: int) -> str:
    return f"fanout era={era}"


def marked_era(metadata: str | None) -> int | None:
    """The era of an offset that we committed; None for one that somebody else has set."""
    match = _MARK.fullmatch(metadata or "")
    return int(match[1]) if match else None
