"""Writes ledgers as rows of the Table: what the group commit calls its store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError
from faust.exceptions import FaustError

from fanout_app.core.group_row import Slot, encode_group_row
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.ledger_row import encode_row
from fanout_app.kafka.errors import is_refusal
from fanout_app.kafka.ledger_table import row_key
from fanout_app.options import Options
from fanout_app.ports import WriteError

_TIMEOUT = 10.0


class LedgerRows:
    """The group commit's `LedgerStore`, and its `SlotStore`."""

    def __init__(self, app: Any, options: Options) -> None:
        self._app = app
        self._options = options
        self._counter = 0

    async def write_row(self, partition: int, snapshot: LedgerSnapshot) -> int:
        return await self._write(partition, None, partial(encode_row, snapshot))

    async def write_slot(self, partition: int, number: int, slot: Slot) -> int:
        return await self._write(partition, number, partial(encode_group_row, slot))

    async def _write(self, partition: int, slot: int | None, encode: Callable[..., bytes]) -> int:
        options, generation = self._options, self._app.runtime.generation
        self._counter += 1
        row = encode(id=options.id, topic=options.topic, generation=generation, counter=self._counter)
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self._app.ledgers.write(row_key(partition, generation, slot), row)
        except TimeoutError:
            raise WriteError(f"no acknowledgement within {_TIMEOUT:g} s") from None
        except (KafkaError, FaustError) as error:
            raise WriteError(repr(error), refused=is_refusal(error)) from error
        return len(row)
