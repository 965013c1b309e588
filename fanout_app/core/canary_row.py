"""What holds of the shares, as it stands on the board."""

from __future__ import annotations

from typing import NamedTuple

from fanout_app.core.board_row import BoardCodec, BoardRow
from fanout_app.core.canary import CanaryState

FORMAT = 1


class _Row(BoardRow, array_like=True, frozen=True, kw_only=True):
    epoch: int
    state: CanaryState


_codec = BoardCodec(_Row, named="record of the shares", format=FORMAT)


class CanaryRecord(NamedTuple):
    """A leader has written this state. One of two records counts by its epoch first, then by its state's version."""

    epoch: int
    state: CanaryState

    @property
    def rank(self) -> tuple[int, int]:
        return self.epoch, self.state.version


def encode_canary(record: CanaryRecord, *, id: str, topic: str) -> bytes:
    return _codec.encode(_Row(id=id, topic=topic, epoch=record.epoch, state=record.state))


def decode_canary(data: bytes, *, id: str, topic: str) -> CanaryRecord:
    """Raises RowError, see `BoardCodec.decode`."""
    row = _codec.decode(data, id=id, topic=topic)
    return CanaryRecord(row.epoch, row.state)
