"""What an operator has switched, kept on the board for the next start: whether the id and topic are paused."""

from __future__ import annotations

import asyncio
from typing import Any

from fanout_app.core.errors import UnavailableError
from fanout_app.kafka.errors import as_source_error

KEY = "paused"
_WRITE_FOR = 5.0


class BoardSwitch:
    """The runtime's `Switch`."""

    def __init__(self, app: Any, board: str) -> None:
        self._app = app
        self._board = board

    async def remember(self, *, paused: bool) -> None:
        try:
            async with asyncio.timeout(_WRITE_FOR):
                with as_source_error():
                    value = b"1" if paused else b"0"
                    await asyncio.shield(await self._app.producer.send(self._board, KEY.encode(), value, 0, None, None))
        except TimeoutError:
            raise UnavailableError("Kafka did not take it in time; whether it counts is unknown, ask again") from None


def is_paused(latest: bytes | None) -> bool:
    """What the latest record of it on the board means."""
    return latest == b"1"
