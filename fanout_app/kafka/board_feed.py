"""Follows the board while a worker runs, outside the consumer group: all of it at first, then what is added.

It does not depend on assignments, so it goes on through rebalances and recoveries. Kafka being away holds it up and
ends nothing; what was written meanwhile comes in its order when Kafka is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

from fanout_app.kafka.board_seal import is_sealed
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.log_client import READ_UNCOMMITTED, LogClient
from fanout_app.lease_keys import Seal
from fanout_app.ports import SourceError

logger = logging.getLogger("fanout.kafka.board")

_MAX_BYTES = 1 << 20
#: Seconds that a broker may wait where there is nothing new.
_WAIT = 0.5
#: Seconds between two readings, so that many workers' heartbeats are read together: what it costs does not grow with
#: their number. A change is known that much later, which is little beside the 2 s that are promised.
_PAUSE = 0.1
_RETRY_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class BoardRecord:
    """What was written under a key."""

    key: str
    #: None: nothing stands under the key any more.
    value: bytes | None
    #: Place in the topic, whose order is the same for every worker.
    offset: int
    #: Monotonic time at which it came here.
    received: float
    #: Written after this worker began to read. What stood there before may be of any age, and is no sign of life.
    live: bool


class _Listener(NamedTuple):
    prefix: str
    tell: Callable[[BoardRecord], None]
    sealed: bool
    every: bool


class BoardFeed:
    """Tells listeners of the records under their keys, in the order of the topic."""

    def __init__(self, brokers: Brokers, board: str, seal: Seal, on_dropped: Callable[[], None]) -> None:
        """``on_dropped`` is called for every record that is left out because nobody with our keys has sealed it."""
        self._client = LogClient(brokers, board)
        self._seal = seal
        self._on_dropped = on_dropped
        self._listeners: list[_Listener] = []
        self._on_caught_up: list[Callable[[], None]] = []
        self._warned = False
        #: All that stood on the board when this worker began to read has been told.
        self.caught_up = asyncio.Event()

    def on(self, prefix: str, tell: Callable[[BoardRecord], None], *, sealed: bool = True, every: bool = False) -> None:
        """Tell of records whose key begins so. ``tell`` must neither block nor raise.

        Args:
            sealed: only of records that somebody with our keys has written; the others are dropped.
            every: of what stood there at the beginning too, not only of the last record of each key. For who cannot
                be sure that the last one is the one that counts.
        """
        self._listeners.append(_Listener(prefix, tell, sealed, every))

    def on_caught_up(self, tell: Callable[[], None]) -> None:
        """Be told when all that stood there has been told, before what came later is."""
        self._on_caught_up.append(tell)

    async def stop(self) -> None:
        await self._client.stop()

    async def run(self) -> None:
        """Read on and on, until cancelled."""
        while True:
            try:
                at, end = (await self._client.bounds([0]))[0]
            except SourceError:
                await asyncio.sleep(_RETRY_PAUSE)
                continue
            reached = await self._read_up(at, end)
            while reached is not None:
                records, reached = await self._read(reached)
                self._tell_all(records, live=True)
                await asyncio.sleep(_PAUSE)

    async def _read_up(self, at: int, end: int) -> int | None:
        """What stands there, told as compaction would leave it. Returns the place to go on at; None: begin again."""
        standing: dict[object, Any] = {}
        newer: list[Any] = []
        in_full = tuple(listener.prefix.encode() for listener in self._listeners if listener.every)
        while at < end:
            records, reached = await self._read(at)
            if reached is None:
                return None
            at = reached
            for record in records:
                if record.offset < end:
                    each = (record.key or b"").startswith(in_full)
                    standing[record.offset if each else record.key] = record
            newer += [record for record in records if record.offset >= end]
        self._tell_all(sorted(standing.values(), key=lambda record: int(record.offset)), live=False)
        for caught_up in self._on_caught_up:
            caught_up()
        self.caught_up.set()
        self._tell_all(newer, live=True)
        return at

    async def _read(self, at: int) -> tuple[list[Any], int | None]:
        """The records from there on, none if none came soon, and where they end; None: that place is not in the log."""
        while True:
            try:
                part = (await self._client.fetch({0: at}, _MAX_BYTES, READ_UNCOMMITTED, wait=_WAIT))[0]
                break
            except SourceError:
                await asyncio.sleep(_RETRY_PAUSE)
        if part.records is None:
            return [], None
        records = list(part.records)
        reached = int(part.records.next_fetch_offset)
        if part.records.unreadable is not None:
            logger.error("offset %d of the board cannot be read and is left out: %r", reached, part.records.unreadable)
            reached += 1
        return records, reached

    def _tell_all(self, records: Iterable[Any], *, live: bool) -> None:
        received = monotonic()
        for record in records:
            self._tell(record, received, live=live)

    def _tell(self, record: Any, received: float, *, live: bool) -> None:
        name, value = record.key or b"", record.value
        key = name.decode(errors="replace")
        listeners = [listener for listener in self._listeners if key.startswith(listener.prefix)]
        sealed = bool(listeners) and is_sealed(self._seal, name, value, record.headers)
        told = BoardRecord(key, value, record.offset, received, live)
        for listener in listeners:
            if sealed or not listener.sealed:
                listener.tell(told)
        if not sealed and any(listener.sealed for listener in listeners):
            self._drop(key, live=live)

    def _drop(self, key: str, *, live: bool) -> None:
        self._on_dropped()
        if live and not self._warned:
            self._warned = True
            logger.warning(
                "record %s on the board is sealed with no lease key of this worker and is left out: see that all "
                "workers have the same --lease-key-file",
                key,
            )
