"""Watches how large the ledger rows grow: a row that does not fit could not be written, and then nothing is durable."""

from __future__ import annotations

import logging

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.partition import PartitionQueue

logger = logging.getLogger("fanout.row_watch")

#: Shares of ``--max-row-bytes`` at which there is a warning, and at which there may be another one.
_WARN = 0.8
_CALM = 0.6


class RowWatch:
    """Told of every row; the partition's intake goes by the size it is told here."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def written(self, number: int, size: int) -> bool:
        """A row of this partition has so many bytes. True if its intake may go on because of that."""
        partition = self._dispatcher.partitions.get(number)
        if partition is None:
            return False
        limit = self._dispatcher.limits.max_row_bytes
        was_full = partition.row_bytes >= limit
        partition.row_bytes = size
        if size < _CALM * limit:
            partition.row_is_warned_of = False
        elif size >= _WARN * limit and not partition.row_is_warned_of:
            partition.row_is_warned_of = True
            logger.warning(
                "partition %d: its ledger row has %d of at most %d bytes, then no more is fetched; "
                "the oldest unsettled message is %d/%d, %s",
                number, size, limit, number, partition.ledger.floor, _where(partition),
            )  # fmt: skip
        return was_full and size < limit


def _where(partition: PartitionQueue) -> str:
    floor = partition.ledger.floor
    run = partition.in_flight.get(floor)
    if run is not None:
        return f"held by client {run.client}"
    if floor in partition.delayed or floor in partition.sleepers:
        return "waiting for its delay after a nack"
    if floor in partition.spent:
        return "waiting to be written as a dead letter"
    return "waiting for a client"
