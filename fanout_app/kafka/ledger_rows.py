"""Writes ledgers as rows of the Table: what the group commit calls its store."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import KafkaError
from faust.exceptions import FaustError

from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.ledger_row import encode_row
from fanout_app.kafka.ledger_table import row_key
from fanout_app.options import Options
from fanout_app.ports import WriteError

_TIMEOUT = 10.0


class LedgerRows:
    """The group commit's `LedgerStore`."""

    def __init__(self, app: Any, options: Options) -> None:
        self._app = app
        self._options = options
        self._counter = 0

    async def write_row(self, partition: int, snapshot: LedgerSnapshot) -> int:
        generation = self._app.runtime.generation
        self._counter += 1
        row = encode_row(
            snapshot, id=self._options.id, topic=self._options.topic, generation=generation, counter=self._counter
        )
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self._app.ledgers.write(row_key(partition, generation), row)
        except TimeoutError:
            raise WriteError(f"no acknowledgement within {_TIMEOUT:g} s") from None
        except (KafkaError, FaustError) as error:
            raise WriteError(repr(error)) from error
        return len(row)
