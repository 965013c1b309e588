"""A worker's heartbeat, as it stands on the board."""

from __future__ import annotations

from fanout_app.core.board_row import BoardCodec, BoardRow
from fanout_app.core.roster import Heartbeat

FORMAT = 1


class _Row(BoardRow, array_like=True, frozen=True, kw_only=True):
    worker: str
    address: str
    partitions: tuple[int, ...]
    generation: int
    waiting_messages: int
    waiting_pulls: int
    epoch: int | None
    misses_epoch: int | None
    sent_at: float = 0.0
    delivery: str = ""
    order: str = ""


_FIELDS = tuple(field for field in _Row.__struct_fields__ if field not in BoardRow.__struct_fields__)
_codec = BoardCodec(_Row, named="heartbeat", format=FORMAT)


def encode_heartbeat(heartbeat: Heartbeat, *, id: str, topic: str) -> bytes:
    return _codec.encode(_Row(id=id, topic=topic, **{name: getattr(heartbeat, name) for name in _FIELDS}))


def decode_heartbeat(data: bytes, *, id: str, topic: str) -> Heartbeat:
    """Raises RowError, see `BoardCodec.decode`."""
    row = _codec.decode(data, id=id, topic=topic)
    return Heartbeat(**{name: getattr(row, name) for name in _FIELDS})
