"""Writes the board while a worker runs: sealed, acknowledged by all replicas, and given up in bounded time.

Its producer is its own: behind ledger rows that Kafka does not take, the leader and the workers would fall silent too.
"""

from __future__ import annotations

import asyncio

from fanout_app.kafka.board_seal import HEADER, seal_of
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.writer import Writer
from fanout_app.lease_keys import Seal
from fanout_app.ports import SourceError

#: Seconds after which a record counts as not written: by then the worker has been missed by the others.
_WITHIN = 3.0


class BoardWriter:
    """Connects with the first record."""

    def __init__(self, brokers: Brokers, board: str, seal: Seal) -> None:
        self._board = board
        self._seal = seal
        self._writer = Writer(brokers, request_timeout=_WITHIN)

    async def stop(self) -> None:
        await self._writer.stop()

    async def write(self, key: str, value: bytes | None, *, sealed: bool = True) -> int:
        """Write, and answer the offset when all replicas in sync have it. None takes away what stands under the key.

        What must still count when the lease keys have been changed is not to be ``sealed`` with one of them.

        Raises:
            SourceError: it was not acknowledged within 3 s; it may be written all the same.
        """
        name = key.encode()
        headers = [(HEADER, seal_of(self._seal, name, value))] if sealed else []
        try:
            async with asyncio.timeout(_WITHIN):
                return await self._writer.write(self._board, key=name, value=value, headers=headers, partition=0)
        except TimeoutError:
            raise SourceError(f"no acknowledgement within {_WITHIN:g} s") from None
