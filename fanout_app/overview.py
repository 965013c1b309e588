"""The queue as people look at it: totals and a row a partition, read from the dispatcher when somebody asks."""

from __future__ import annotations

from typing import Any

from fanout_app.core.dispatcher import Dispatcher


def waiting(dispatcher: Dispatcher) -> int:
    """Messages not handed out yet: held in memory, or still in Kafka as far as its end is known."""
    return sum(
        partition.fresh_count
        + len(partition.returned)
        + len(partition.delayed)
        + max(0, partition.log_end - partition.next_offset)
        for partition in dispatcher.partitions.values()
    )


def could_serve(dispatcher: Dispatcher, now: float) -> bool:
    """Whether there is something to hand out: held and never handed out, or in Kafka and wanted."""
    return any(
        partition.fresh_count or (partition.log_end > partition.next_offset and dispatcher.wants(number, now))
        for number, partition in dispatcher.partitions.items()
    )


def totals(dispatcher: Dispatcher) -> dict[str, Any]:
    """Over all partitions of this worker."""
    partitions = dispatcher.partitions.values()
    return {
        "lag": sum(max(0, partition.log_end - partition.ledger.floor) for partition in partitions),
        "waiting_messages": waiting(dispatcher),
        "buffered": sum(partition.fresh_count + len(partition.returned) for partition in partitions),
        "in_flight": sum(len(partition.in_flight) for partition in partitions),
        "buffered_bytes": dispatcher.bytes_held(),
        "clients": len(dispatcher.clients),
    }


def partitions(dispatcher: Dispatcher, owner: str, unix_time: float) -> list[dict[str, Any]]:
    """A row a partition. Ages are by the messages' own timestamps."""
    rows = []
    for number, partition in sorted(dispatcher.partitions.items()):
        oldest = partition.oldest_held()
        rows.append(
            {
                "partition": number,
                "owner": owner,
                "era": partition.ledger.era,
                "floor": partition.ledger.floor,
                "committed": partition.ledger.committed,
                "settled_above_floor": len(partition.ledger.settled),
                "buffered": partition.fresh_count + len(partition.returned) + len(partition.delayed),
                "in_flight": len(partition.in_flight),
                "oldest_age_seconds": None if oldest is None else max(0.0, unix_time - oldest.timestamp / 1000),
                "log_start": partition.log_start,
                "log_end": max(partition.log_end, partition.next_offset),
            }
        )
    return rows
