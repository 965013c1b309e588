"""Names of clients and groups, in the one form in which they are compared."""

from __future__ import annotations

import unicodedata
from typing import Final

LONGEST: Final = 200
RULE: Final = f"1 to {LONGEST} printable characters"


def in_form(given: str) -> str | None:
    """The name in Unicode's form NFC, or None if it is none."""
    name = given if given.isascii() else unicodedata.normalize("NFC", given)
    return name if 0 < len(name) <= LONGEST and name.isprintable() else None
