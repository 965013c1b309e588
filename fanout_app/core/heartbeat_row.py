"""The bytes of a heartbeat, as they stand on the board: one format byte, then a msgpack array, as in a ledger row.

Fields are only ever added at the end, with a default: workers of two versions read each other while one replaces the
other.
"""

from __future__ import annotations

import msgspec

from fanout_app.core.errors import RowError
from fanout_app.core.roster import Heartbeat

FORMAT = 1


class _Row(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    id: str
    topic: str
    worker: str
    address: str
    partitions: tuple[int, ...]
    generation: int
    waiting_messages: int
    waiting_pulls: int
    epoch: int | None
    misses_epoch: int | None
    sent_at: float = 0.0


_FIELDS = tuple(field for field in _Row.__struct_fields__ if field not in ("id", "topic"))
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Row)


def encode_heartbeat(heartbeat: Heartbeat, *, id: str, topic: str) -> bytes:
    row = _Row(id=id, topic=topic, **{name: getattr(heartbeat, name) for name in _FIELDS})
    return bytes((FORMAT,)) + _encoder.encode(row)


def decode_heartbeat(data: bytes, *, id: str, topic: str) -> Heartbeat:
    """Read a heartbeat back.

    Raises:
        RowError: it is of a newer format, damaged, or of another id and topic.
    """
    if data[:1] != bytes((FORMAT,)):
        raise RowError(f"heartbeat of format {data[:1].hex() or 'nothing'}, this version reads {FORMAT}")
    try:
        row = _decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, ValueError) as error:
        raise RowError(f"heartbeat is damaged: {error}") from error
    if (row.id, row.topic) != (id, topic):
        raise RowError(f"heartbeat of --id {row.id} --topic {row.topic}")
    return Heartbeat(**{name: getattr(row, name) for name in _FIELDS})
