"""An answer as a value: what a view says, whoever writes it."""

from __future__ import annotations

from msgspec import Struct

Headers = tuple[tuple[str, str], ...]


class Reply(Struct, frozen=True):
    """All of an answer but what every answer says of itself (its length, date and server)."""

    status: int
    headers: Headers
    body: bytes | None = None
    #: The client is to come again on another connection.
    close: bool = False
