"""A Faust Table whose rows say by their key which partition they belong to, written one at a time and waited for.

Rows are keyed by partition and generation modulo 8. A worker that lost a partition and does not know it yet may still
write: under a key of its own generation it cannot shadow its successor's row under compaction, and recovery joins all
rows anyway (`fanout_app.core.ledger.join`). The keys are bounded, and nothing is ever deleted: a recovery that waits
for an offset which compaction has removed would wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import faust
from aiokafka.errors import UnknownTopicOrPartitionError

from fanout_app.core.errors import RowError
from fanout_app.core.ledger import LedgerSnapshot, join
from fanout_app.core.ledger_row import decode_row
from fanout_app.kafka.acknowledged import acknowledged
from fanout_app.kafka.growth import look_anew

logger = logging.getLogger("fanout.kafka.ledger_table")

_GENERATIONS = 8


def row_key(partition: int, generation: int) -> bytes:
    return b"%d/%d" % (partition, generation % _GENERATIONS)


class LedgerTable(faust.Table):
    """The changelog-backed Table of ledger rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Partition -> the row of it that the producer was given last.
        self._sent: dict[int, asyncio.Future[Any]] = {}

    def partition_for_key(self, key: Any) -> int:
        """The changelog's partition is the source's, whoever writes and from wherever."""
        try:
            return int(bytes(key).partition(b"/")[0])
        except ValueError:
            # Not chained: the text of a ValueError shows the key.
            raise RowError(
                f"topic {self.changelog_topic_name} holds a record that fanout did not write: find out who did, then "
                "delete the topic (what is settled above the floors is forgotten) or choose another --id"
            ) from None

    async def write(self, key: bytes, row: bytes) -> None:
        """Write a row and wait until the changelog has acknowledged it.

        Raises:
            KafkaError: it was not acknowledged; it may be in the changelog all the same.
        """
        partition = self.partition_for_key(key)
        before = self._sent.get(partition)
        if before is not None and not before.done():
            # Who gave up waiting for it is back with a newer row: while Kafka takes none, the producer keeps one alone.
            await acknowledged(before)
        await self._know(partition)
        sent = await self.app.producer.send(self.changelog_topic_name, key, row, partition, None, None)
        self._sent[partition] = sent
        await acknowledged(sent)
        self.data[key] = row

    async def _know(self, partition: int) -> None:
        """See to it that the producer knows a partition that was added a moment ago: it asserts that there is one."""
        client = self.app.producer._producer.client
        known = client.cluster.partitions_for_topic(self.changelog_topic_name)
        if known is None or partition in known:
            return  # it asks for what it knows nothing of
        seen = await look_anew(client, [self.changelog_topic_name])
        if partition >= seen[self.changelog_topic_name]:
            raise UnknownTopicOrPartitionError(f"{self.changelog_topic_name} has no partition {partition} yet")

    def joined(self, partition: int, *, id: str, topic: str) -> LedgerSnapshot | None:
        """What all rows of a partition amount to, None if there is none.

        Raises:
            RowError: a row cannot be used, see `decode_row`.
        """
        rows = [
            decode_row(bytes(value), id=id, topic=topic)
            for key, value in self.data.items()
            if self.partition_for_key(key) == partition
        ]
        for row in rows:
            logger.debug(
                "partition %d: row of generation %d, counter %d: era %d, floor %d",
                partition, row.generation, row.counter, row.era, row.floor,
            )  # fmt: skip
        return join([row.snapshot() for row in rows])
