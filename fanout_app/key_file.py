"""The file of lease keys: one key a line, the first signs, all count."""

from __future__ import annotations

import re

from fanout_app.watched_file import WatchedFile

#: Fewer random characters than this can be guessed by whoever holds a token.
_SHORTEST = 32
_PRINTABLE = re.compile(rb"[!-~]+")


class KeyFile(WatchedFile[list[bytes]]):
    """The keys, in their order."""

    OPTION = "--lease-key-file"
    HOLDS = "lease keys"
    REMEDY = f"make it with one key a line, at least {_SHORTEST} random characters each"

    def _parsed(self, content: bytes) -> list[bytes]:
        keys: dict[bytes, None] = {}
        for number, line in enumerate(content.splitlines(), 1):
            key = line.strip()
            if not key:
                continue
            if not _PRINTABLE.fullmatch(key) or len(key) < _SHORTEST:
                raise self._wrong(
                    f": line {number} is no key: write at least {_SHORTEST} random characters, printable ones without "
                    "spaces"
                )
            keys[key] = None
        if not keys:
            raise self._wrong(
                f" holds no key: write one a line, at least {_SHORTEST} random characters each; the first signs"
            )
        return list(keys)

    def _compared(self, before: list[bytes], now: list[bytes]) -> str:
        kept = len(set(now) & set(before))
        signing = "another one signs" if now[0] != before[0] else "the same one signs"
        return f"{len(now)} keys, {kept} of them known before, {signing}"
