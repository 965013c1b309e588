"""What an operator has switched: whether the id and topic are paused. Kept on the board, and followed by every worker.

It is not sealed: a pause has to outlast the lease keys of the day it was made on.
"""

from __future__ import annotations

from collections.abc import Callable

from fanout_app.core.errors import UnavailableError
from fanout_app.kafka.board_feed import BoardRecord
from fanout_app.kafka.board_writer import BoardWriter
from fanout_app.ports import SourceError

KEY = "paused"


class BoardSwitch:
    """The runtime's `Switch`. What stands highest on the board counts, whichever way this worker learns of it first."""

    def __init__(self, board: BoardWriter, tell: Callable[[bool], None]) -> None:
        """``tell`` is called with what holds, also if that is nothing new."""
        self._board = board
        self._tell = tell
        self._offset = -1
        self._paused = False

    async def remember(self, *, paused: bool) -> bool:
        try:
            offset = await self._board.write(KEY, b"1" if paused else b"0", sealed=False)
        except SourceError:
            raise UnavailableError("Kafka did not take it in time; whether it counts is unknown, ask again") from None
        return self._hold(offset, paused=paused)

    def hear(self, record: BoardRecord) -> None:
        if record.key == KEY:
            self._tell(self._hold(record.offset, paused=is_paused(record.value)))

    def _hold(self, offset: int, *, paused: bool) -> bool:
        if offset > self._offset:
            self._offset, self._paused = offset, paused
        return self._paused


def is_paused(latest: bytes | None) -> bool:
    """What the latest record of it on the board means."""
    return latest == b"1"
