"""Writes a history down, event by event, as it happens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from support.histories.events import AnyEvent, encode

_SHORT = 40


class Recorder:
    """One history; a file that can be judged again."""

    def __init__(self, path: Path, watch: Callable[[AnyEvent], None] | None = None) -> None:
        """``watch`` is told of each event, for those who look on."""
        self.path = path
        self._watch = watch
        self._file = path.open("wb")
        self._began = monotonic()
        self._ops = 0
        self._leases: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def now(self) -> float:
        return round(monotonic() - self._began, 6)

    def op(self) -> int:
        self._ops += 1
        return self._ops

    def lease(self, token: str) -> int:
        """The number of a token; the same token has the same number."""
        return self._leases.setdefault(token, len(self._leases) + 1)

    def write(self, event: AnyEvent) -> None:
        self._file.write(encode(event))
        self._file.flush()
        if self._watch:
            self._watch(event)


def digest(value: str) -> str:
    """A body as a history has it."""
    if len(value) <= _SHORT:
        return value
    return f"{value[:_SHORT]}~{len(value)}~{hashlib.sha256(value.encode()).hexdigest()[:12]}"
