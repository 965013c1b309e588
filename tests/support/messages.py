"""Messages for tests that have no Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, weakref_slot=True)
class FakeMessage:
    """What the core asks of a message, and nothing else."""

    offset: int
    value: bytes | None = b"x"
    key: bytes | None = None
    timestamp: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()


def messages(offsets: Iterable[int], *, size: int = 1) -> list[FakeMessage]:
    return [FakeMessage(offset, b"x" * size) for offset in offsets]
