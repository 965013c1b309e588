"""Where assigned partitions start: asks Kafka what it knows of them and lets the core decide."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any, Protocol

from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import ensure_aiokafka_TP
from faust.types import TP

from fanout_app.core.start import Known, Start, decide
from fanout_app.kafka.ledger_table import LedgerTable
from fanout_app.options import Options

#: A floor beyond the end of the log is believed only if the end is read so often: a new leader may lag for a moment.
_READINGS = 3
_READING_PAUSE = 0.3
_RETRY_PAUSE = 0.2
_RETRY_FOR = 20.0


class Mirror(Protocol):
    """A second memory of floors, see `fanout_app.zookeeper.mirror`."""

    async def read(self, partitions: Iterable[int]) -> Mapping[int, tuple[int, int]]:
        """Era and floor of those of these partitions that are known. Does not raise."""


class NoMirror:
    """Where no ZooKeeper is configured."""

    async def read(self, partitions: Iterable[int]) -> Mapping[int, tuple[int, int]]:
        return {}


class StartOffsets:
    """Finds the start of partitions that were assigned."""

    def __init__(self, options: Options, table: LedgerTable, first_starts: Mapping[int, int], mirror: Mirror) -> None:
        self._options = options
        self._table = table
        self._first_starts = first_starts
        self._mirror = mirror

    async def find(self, partitions: set[int]) -> dict[int, Start]:
        """Decide for each of these partitions.

        Raises:
            KafkaError: Kafka did not answer for as long as a start may take.
            RowError: a row of theirs cannot be used.
        """
        if not partitions:
            return {}
        deadline = monotonic() + _RETRY_FOR
        while True:
            try:
                return await self._find(partitions)
            except KafkaError:
                if monotonic() > deadline:
                    raise
                await asyncio.sleep(_RETRY_PAUSE)

    async def _find(self, partitions: set[int]) -> dict[int, Start]:
        consumer = self._table.app.consumer
        topic = self._options.topic
        tps = {number: TP(topic, number) for number in partitions}
        committed = await consumer._thread.call_thread(self._committed, consumer._thread, list(tps.values()))
        mirrored = await self._mirror.read(partitions)
        begins = await consumer.earliest_offsets(*tps.values())
        for reading in range(_READINGS):
            ends = await consumer.highwaters(*tps.values())
            starts = {
                number: decide(
                    Known(
                        row=self._table.joined(number, id=self._options.id, topic=topic),
                        committed=committed[tp],
                        mirror=mirrored.get(number),
                        log_start=int(begins[tp]),
                        log_end=int(ends[tp]),
                        first_start=self._first_starts.get(number, int(begins[tp])),
                    )
                )
                for number, tp in tps.items()
            }
            if not any(start.beyond_end for start in starts.values()):
                break
            if reading < _READINGS - 1:
                await asyncio.sleep(_READING_PAUSE)
        return starts

    @staticmethod
    async def _committed(thread: Any, tps: list[TP]) -> dict[TP, int | None]:
        """The group's offsets, asked of the broker in one request: what aiokafka remembers may be our own past."""
        coordinator = thread._ensure_consumer()._coordinator
        found = await coordinator.fetch_committed_offsets([ensure_aiokafka_TP(tp) for tp in tps])
        offsets = {(tp.topic, tp.partition): meta.offset for tp, meta in found.items() if meta.offset >= 0}
        return {tp: offsets.get((tp.topic, tp.partition)) for tp in tps}
