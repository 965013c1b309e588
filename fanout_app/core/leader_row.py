"""The leader's record, as it stands on the board."""

from __future__ import annotations

from fanout_app.core.board_row import BoardCodec, BoardRow
from fanout_app.core.following import Leader

FORMAT = 1


class _Row(BoardRow, array_like=True, frozen=True, kw_only=True):
    worker: str
    address: str
    epoch: int


_codec = BoardCodec(_Row, named="leader's record", format=FORMAT)


def encode_leader(leader: Leader, *, id: str, topic: str) -> bytes:
    return _codec.encode(_Row(id=id, topic=topic, worker=leader.worker, address=leader.address, epoch=leader.epoch))


def decode_leader(data: bytes, *, id: str, topic: str) -> Leader:
    """Raises RowError, see `BoardCodec.decode`."""
    row = _codec.decode(data, id=id, topic=topic)
    return Leader(worker=row.worker, address=row.address, epoch=row.epoch)
