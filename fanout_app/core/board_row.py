"""The bytes of a record of the board: one format byte, then a msgpack array that begins with the id and the topic.

Fields are only ever added at the end, with a default: workers of two versions read each other while one replaces the
other.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from fanout_app.core.errors import RowError


class BoardRow(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What every record begins with; one kind of record is a subclass with its own fields."""

    id: str
    topic: str


Row = TypeVar("Row", bound=BoardRow)


class BoardCodec(Generic[Row]):
    """Writes and reads one kind of record."""

    def __init__(self, row: type[Row], *, named: str, format: int) -> None:
        """``named`` is what errors call it."""
        self._named = named
        self._format = bytes((format,))
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(row)

    def encode(self, row: Row) -> bytes:
        return self._format + self._encoder.encode(row)

    def decode(self, data: bytes, *, id: str, topic: str) -> Row:
        """Read a record back.

        Raises:
            RowError: it is of a newer format, damaged, or of another id and topic.
        """
        if data[:1] != self._format:
            found = data[:1].hex() or "nothing"
            raise RowError(f"{self._named} of format {found}, this version reads {self._format[0]}")
        try:
            row = self._decoder.decode(memoryview(data)[1:])
        except (msgspec.DecodeError, ValueError) as error:
            raise RowError(f"{self._named} is damaged: {error}") from error
        if (row.id, row.topic) != (id, topic):
            raise RowError(f"{self._named} of --id {row.id} --topic {row.topic}")
        return row
