"""Where assigned partitions start: asks Kafka what it knows of them and lets the core decide.

The ends of the logs are asked for past the consumer: what it calls the end under ``read_committed`` lies below an
offset that an operator may well have set inside an open transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from fanout_app.core.group_start import start_groups
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.start import Known, Mirrored, Start, decide
from fanout_app.core.witness import Seen, Witness, compare
from fanout_app.kafka.commit_mark import marked_era
from fanout_app.kafka.errors import is_refusal
from fanout_app.kafka.ledger_table import LedgerTable
from fanout_app.kafka.log_client import LogClient
from fanout_app.kafka.log_reader import LogReader
from fanout_app.options import Options
from fanout_app.patience import Patience
from fanout_app.ports import SourceError

#: A floor beyond the end of the log is believed only if the end is read so often: a new leader may lag for a moment.
_READINGS = 3
_READING_PAUSE = 0.3
_RETRY_PAUSE = 0.2
#: Seconds in which a refusal is taken for one that may pass. Where Kafka does not answer there is no such limit.
_RETRY_FOR = 20.0


class Mirror(Protocol):
    """A second memory of floors, see `fanout_app.zookeeper.mirror`."""

    async def read(self, partitions: Iterable[int]) -> Mapping[int, Mirrored]:
        """Where those of these partitions stand that are known. Does not raise."""


class NoMirror:
    """Where no ZooKeeper is configured."""

    async def read(self, partitions: Iterable[int]) -> Mapping[int, Mirrored]:
        return {}


class StartOffsets:
    """Finds the start of partitions that were assigned."""

    def __init__(
        self,
        options: Options,
        table: LedgerTable,
        first_starts: Mapping[int, int],
        mirror: Mirror,
        log: LogClient,
        reader: LogReader,
    ) -> None:
        self._options = options
        self._table = table
        self._first_starts = first_starts
        self._mirror = mirror
        self._log = log
        self._reader = reader

    async def find(self, partitions: set[int]) -> dict[int, Start]:
        """Decide for each of these partitions.

        Raises:
            KafkaError, SourceError: Kafka has refused an answer for as long as a start may take.
            RowError: a row of theirs cannot be used.
        """
        if not partitions:
            return {}
        patience = Patience(_RETRY_FOR)
        while True:
            try:
                return await self._find(partitions)
            except (KafkaError, SourceError) as error:
                refused = error.refused if isinstance(error, SourceError) else is_refusal(error)
                if patience.is_over(refused=refused):
                    raise
                await asyncio.sleep(_RETRY_PAUSE)

    async def _find(self, partitions: set[int]) -> dict[int, Start]:
        committed = await self._committed(partitions)
        joined = self._table.joined(partitions, id=self._options.id, topic=self._options.topic)
        rows = {number: rows.base for number, rows in joined.items()}
        # Those alone: where there is a row nobody waits for a ZooKeeper that is away.
        mirrored = await self._mirror.read(number for number, row in rows.items() if row is None)
        for reading in range(_READINGS):
            # Before the bounds: of a topic made anew in between, the next start will notice that it has another id.
            topic_id = await self._log.topic_id()
            bounds = await self._log.bounds(partitions)
            witnessed = await self._look_at_witnesses(rows, bounds)
            knowns = {
                number: Known(
                    row=rows[number],
                    committed=committed[number].offset if number in committed else None,
                    committed_era=marked_era(committed[number].metadata) if number in committed else None,
                    mirror=mirrored.get(number),
                    log_start=start,
                    log_end=end,
                    first_start=self._first_starts.get(number, start),
                    topic_id=topic_id,
                    witnessed=witnessed[number],
                )
                for number, (start, end) in bounds.items()
            }
            starts = {number: decide(known) for number, known in knowns.items()}
            if not any(start.beyond_end for start in starts.values()):
                break
            if reading < _READINGS - 1:
                await asyncio.sleep(_READING_PAUSE)
        for number, start in starts.items():
            start.slots = start_groups(start, knowns[number], joined[number].slots)
        return starts

    async def _look_at_witnesses(
        self, rows: Mapping[int, LedgerSnapshot | None], bounds: Mapping[int, tuple[int, int]]
    ) -> dict[int, dict[Witness, Seen]]:
        """Read the latest witness of each partition back, and the older ones only where it does not stand there."""
        seen: dict[int, dict[Witness, Seen]] = {number: {} for number in rows}
        latest = {number: row.witnesses[-1:] for number, row in rows.items() if row is not None}
        older = {number: row.witnesses[:-1] for number, row in rows.items() if row is not None}
        await self._look_at(latest, bounds, seen)
        await self._look_at({number: witnesses for number, witnesses in older.items()
                             if Seen.SAME not in seen[number].values()}, bounds, seen)  # fmt: skip
        return seen

    async def _look_at(
        self,
        witnesses: Mapping[int, Sequence[Witness]],
        bounds: Mapping[int, tuple[int, int]],
        seen: dict[int, dict[Witness, Seen]],
    ) -> None:
        # What lies outside the log need not be looked for.
        inside = {number: [one.offset for one in some if bounds[number][0] <= one.offset < bounds[number][1]]
                  for number, some in witnesses.items()}  # fmt: skip
        found = await self._reader.read_each(inside)
        for number, some in witnesses.items():
            for witness in some:
                seen[number][witness] = compare(witness, found.get((number, witness.offset)))

    async def _committed(self, partitions: Iterable[int]) -> dict[int, OffsetAndMetadata]:
        """The group's offsets, asked of the broker in one request: what aiokafka remembers may be our own past."""
        driver = self._table.app.consumer._thread
        tps = [TopicPartition(self._options.topic, number) for number in partitions]
        found = await driver.call_thread(driver._ensure_consumer()._coordinator.fetch_committed_offsets, tps)
        return {tp.partition: meta for tp, meta in found.items() if meta.offset >= 0}
