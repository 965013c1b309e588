"""The file of tokens: one a line, as its SHA-256, with what it allows. A clear token is never in it.

Tokens are long and random, so nobody finds one by trying, and a plain hash hides it: the slow hashes made for passwords
would cost their time with every request and hide nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from fanout_app import names
from fanout_app.identity import Identity, Role
from fanout_app.watched_file import WatchedFile

#: SHA-256 of a token -> what it allows.
Known = Mapping[bytes, Identity]

_FORM: Final = "SHA256 ROLE[,ROLE] [group=NAME] [name=NAME]"
_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
_OF_NOTHING: Final = sha256(b"").digest()
_ROLES: Final = ", ".join(Role)
_LABELS: Final = ("group", "name")


class TokensFile(WatchedFile[Known]):
    """Lines of the form above; what begins with # is a remark."""

    OPTION = "--tokens-file"
    HOLDS = "tokens"
    REMEDY = f"make it with one token a line: {_FORM}"

    def _parsed(self, content: bytes) -> Known:
        known: dict[bytes, Identity] = {}
        lines: dict[bytes, int] = {}
        for number, line in enumerate(content.splitlines(), 1):
            fields = line.split()
            if not fields or fields[0].startswith(b"#"):
                continue
            try:
                digest, identity = _token([field.decode() for field in fields])
            except ValueError as error:
                # No field of the line is shown: somebody may have written the token itself there.
                what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
                raise self._wrong(f": line {number} {what}; the form is {_FORM}") from None
            if digest in known:
                raise self._wrong(f": line {number} has the token of line {lines[digest]}: take one of them out")
            known[digest], lines[digest] = identity, number
        if not known:
            raise self._wrong(f" holds no token: write one a line: {_FORM}")
        return known

    def _compared(self, before: Known, now: Known) -> str:
        kept = len(now.items() & before.items())
        return f"{len(now)} tokens, {kept} of them as they were before, {len(before.keys() - now.keys())} taken out"


def _token(fields: list[str]) -> tuple[bytes, Identity]:
    """The token's hash, and what it allows. Raises ValueError with what is wrong."""
    if not _HASH.fullmatch(fields[0]):
        raise ValueError("does not begin with the SHA-256 of a token in 64 hexadecimal digits")
    digest = bytes.fromhex(fields[0])
    if digest == _OF_NOTHING:
        raise ValueError("has the hash of nothing at all: hash a token of at least 32 random characters")
    given = fields[1].split(",") if len(fields) > 1 else []
    if not given or not set(given) <= set(Role):
        raise ValueError(f"must name its roles behind the hash, of {_ROLES}, joined by commas without spaces")
    roles = frozenset(map(Role, given))
    labels = _labels(fields[2:])
    if "group" in labels and roles & {Role.CONSUME, Role.ADMIN} != {Role.CONSUME}:
        raise ValueError("fixes a group, which only limits the role consume, and only without the role admin")
    return digest, Identity(roles=roles, group=labels.get("group"), name=labels.get("name", ""))


def _labels(fields: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in fields:
        label, equals, given = field.partition("=")
        if not equals or label not in _LABELS or label in found:
            raise ValueError("has something else than group=NAME and name=NAME, each once, behind its roles")
        name = names.in_form(given)
        if name is None:
            raise ValueError(f"has a {label} that is not {names.RULE} without spaces")
        found[label] = name
    return found
