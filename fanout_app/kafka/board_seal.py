"""The seal of a record on the board: in a header, so that the value stays what it is, and null may have one too."""

from __future__ import annotations

from collections.abc import Iterable

from fanout_app.lease_keys import Seal

HEADER = "seal"
_PURPOSE = "board"


def seal_of(seal: Seal, key: bytes, value: bytes | None) -> bytes:
    return seal.of(_PURPOSE, *_parts(key, value))


def is_sealed(seal: Seal, key: bytes, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> bool:
    """Whether somebody who has one of our keys has written just this for this id and topic."""
    found = next((content for name, content in headers if name == HEADER), None)
    return found is not None and seal.fits(found, _PURPOSE, *_parts(key, value))


def _parts(key: bytes, value: bytes | None) -> tuple[bytes, ...]:
    return (key,) if value is None else (key, value)
