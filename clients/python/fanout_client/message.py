"""What clients are given."""

from __future__ import annotations

from typing import Any

import msgspec


class Message(msgspec.Struct, frozen=True):
    """One message under a lease of this client."""

    lease: str
    partition: int
    offset: int
    timestamp_unix_ms: int
    #: From 1 on.
    delivery_count: int
    #: By the worker's wall clock, for reading only.
    lease_ends_unix_ms: int
    key: bytes | None
    value: bytes | None
    #: In the record's order; Kafka allows repeats.
    headers: tuple[tuple[str, bytes | None], ...] = ()

    def text(self) -> str:
        """The value as text.

        Raises:
            UnicodeDecodeError: it is not UTF-8.
        """
        return (self.value or b"").decode()

    def json(self) -> Any:
        """The value read as JSON.

        Raises:
            msgspec.DecodeError: it is not JSON.
        """
        return msgspec.json.decode(self.value or b"null")

    def header(self, name: str) -> bytes | None:
        """The first header of that name; None as well where its value is null."""
        return next((value for known, value in self.headers if known == name), None)
