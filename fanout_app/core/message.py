"""What a message is to the core: the record as the transport parsed it, never copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Message(Protocol):
    """One record of the topic. aiokafka's ``ConsumerRecord`` satisfies this as it is."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970, as the record carries it."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Bodiless:
    """Stands for a message that a client has and this worker has never read: an earlier owner handed it out."""

    __slots__ = ("offset", "timestamp")

    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()

    def __init__(self, offset: int) -> None:
        self.offset = offset
        #: Known once the record has been seen; -1 before, as for a record that carries none.
        self.timestamp = -1

    def __repr__(self) -> str:
        return f"<Bodiless {self.offset}>"


def size_of(message: Message) -> int:
    """Bytes of key and value: what counts against ``--buffer-bytes`` and ``max_bytes``."""
    return len(message.key or b"") + len(message.value or b"")
