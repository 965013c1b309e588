"""A Faust Table whose rows say by their key which partition they belong to, written one at a time and waited for.

Rows are keyed by partition and generation modulo 8, those of groups with a ledger of their own by their slot beside it.
A worker that lost a partition and does not know it yet may still write: under a key of its own generation it cannot
shadow its successor's row under compaction, and recovery joins all rows anyway (`fanout_app.core.ledger.join`). The
keys are bounded, and nothing is ever deleted: a recovery that waits for an offset which compaction has removed would
wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import faust
from aiokafka.errors import UnknownTopicOrPartitionError

from fanout_app.core.errors import RowError
from fanout_app.core.group_row import GroupRow, Slot, decode_group_row, slots_of
from fanout_app.core.ledger import LedgerSnapshot, join
from fanout_app.core.ledger_row import LedgerRow, decode_row
from fanout_app.kafka.acknowledged import acknowledged
from fanout_app.kafka.growth import look_anew

logger = logging.getLogger("fanout.kafka.ledger_table")

_GENERATIONS = 8


def row_key(partition: int, generation: int, slot: int | None = None) -> bytes:
    base = b"%d/%d" % (partition, generation % _GENERATIONS)
    return base if slot is None else b"%b/%d" % (base, slot)


class Place(NamedTuple):
    """What a row is about."""

    partition: int
    #: None for the partition itself.
    slot: int | None = None


def place_of(key: bytes) -> Place:
    """Raises ValueError: no such key is ever written."""
    partition, generation, *slot = map(int, key.split(b"/"))
    if row_key(partition, generation, *slot) != key:
        raise ValueError("not a key of a row")
    return Place(partition, *slot)


class Joined(NamedTuple):
    """What all rows of one partition amount to."""

    #: None if there is none.
    base: LedgerSnapshot | None
    slots: dict[int, Slot]


class LedgerTable(faust.Table):
    """The changelog-backed Table of ledger rows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: The row that the producer was given last of what it is about.
        self._sent: dict[Place, asyncio.Future[Any]] = {}

    def partition_for_key(self, key: Any) -> int:
        """The changelog's partition is the source's, whoever writes and from wherever."""
        return self._place_of(key).partition

    def _place_of(self, key: Any) -> Place:
        try:
            return place_of(bytes(key))
        except (TypeError, ValueError):
            # Not chained: the text of such an error shows the key.
            raise RowError(
                f"topic {self.changelog_topic_name} holds a record that fanout did not write: find out who did, then "
                "delete the topic (what is settled above the floors is forgotten) or choose another --id"
            ) from None

    async def write(self, key: bytes, row: bytes) -> None:
        """Write a row and wait until the changelog has acknowledged it.

        Raises:
            KafkaError: it was not acknowledged; it may be in the changelog all the same.
        """
        place = self._place_of(key)
        before = self._sent.get(place)
        if before is not None and not before.done():
            # Who gave up waiting for it is back with a newer row: while Kafka takes none, the producer keeps one alone.
            await acknowledged(before)
        await self._know(place.partition)
        sent = await self.app.producer.send(self.changelog_topic_name, key, row, place.partition, None, None)
        self._sent[place] = sent
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

    def joined(self, partitions: Iterable[int], *, id: str, topic: str) -> dict[int, Joined]:
        """What all rows of these partitions amount to.

        Raises:
            RowError: a row cannot be used, see `decode_row`.
        """
        rows: dict[int, list[LedgerRow]] = {partition: [] for partition in partitions}
        of_groups: dict[int, list[tuple[int, GroupRow]]] = {partition: [] for partition in rows}
        for key, value in self.data.items():
            place = self._place_of(key)
            if place.partition not in rows:
                continue
            if place.slot is not None:
                of_groups[place.partition].append((place.slot, decode_group_row(bytes(value), id=id, topic=topic)))
                continue
            row = decode_row(bytes(value), id=id, topic=topic)
            logger.debug(
                "partition %d: row of generation %d, counter %d: era %d, floor %d",
                place.partition, row.generation, row.counter, row.era, row.floor,
            )  # fmt: skip
            rows[place.partition].append(row)
        return {
            partition: Joined(join([row.snapshot() for row in some]), slots_of(of_groups[partition]))
            for partition, some in rows.items()
        }
