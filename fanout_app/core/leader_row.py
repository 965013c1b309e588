"""The bytes of the leader's record, as they stand on the board: one format byte, then a msgpack array.

Fields are only ever added at the end, with a default: workers of two versions read each other while one replaces the
other.
"""

from __future__ import annotations

import msgspec

from fanout_app.core.errors import RowError
from fanout_app.core.following import Leader

FORMAT = 1


class _Row(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    id: str
    topic: str
    worker: str
    address: str
    epoch: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Row)


def encode_leader(leader: Leader, *, id: str, topic: str) -> bytes:
    row = _Row(id=id, topic=topic, worker=leader.worker, address=leader.address, epoch=leader.epoch)
    return bytes((FORMAT,)) + _encoder.encode(row)


def decode_leader(data: bytes, *, id: str, topic: str) -> Leader:
    """Read the record back.

    Raises:
        RowError: it is of a newer format, damaged, or of another id and topic.
    """
    if data[:1] != bytes((FORMAT,)):
        raise RowError(f"leader's record of format {data[:1].hex() or 'nothing'}, this version reads {FORMAT}")
    try:
        row = _decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, ValueError) as error:
        raise RowError(f"leader's record is damaged: {error}") from error
    if (row.id, row.topic) != (id, topic):
        raise RowError(f"leader's record of --id {row.id} --topic {row.topic}")
    return Leader(worker=row.worker, address=row.address, epoch=row.epoch)
