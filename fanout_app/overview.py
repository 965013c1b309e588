"""The queue as people look at it: totals and a row a partition, read from the dispatcher when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from heapq import nlargest, nsmallest
from time import monotonic
from typing import Any

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.lease import LeaseRun
from fanout_app.core.message import Message
from fanout_app.core.partition import PartitionQueue
from fanout_app.core.requests import LeaseRef, LiveLease
from fanout_app.core.shares import STABLE


def unix_ms(at: float) -> int:
    """Wall clock of a moment of the monotonic clock, for reading only."""
    return int((time.time() + at - monotonic()) * 1000)


def waiting(dispatcher: Dispatcher) -> int:
    """Messages not handed out yet: held in memory, or still in Kafka as far as its end is known."""
    return sum(
        _buffered(partition) + len(partition.sleepers) + max(0, partition.log_end - partition.next_offset)
        for partition in dispatcher.partitions.values()
    )


def _buffered(partition: PartitionQueue) -> int:
    """Messages in memory that no client has."""
    return partition.held - len(partition.in_flight)


def totals(dispatcher: Dispatcher) -> dict[str, Any]:
    """Over all partitions of this worker."""
    partitions = dispatcher.partitions.values()
    return {
        "lag": sum(partition.lag for partition in partitions),
        "waiting_messages": waiting(dispatcher),
        "buffered": sum(map(_buffered, partitions)),
        "delayed": sum(len(partition.delayed) + len(partition.sleepers) for partition in partitions),
        "in_flight": sum(len(partition.in_flight) for partition in partitions),
        "buffered_bytes": dispatcher.bytes_held(),
    }


def client_names(dispatcher: Dispatcher, now: float) -> list[str]:
    """Those alive."""
    return [client.name for client in dispatcher.clients if client.alive(now, dispatcher.clients.ttl)]


def clients(
    dispatcher: Dispatcher, waiting: Mapping[str, int], now: float, most: int | None = None
) -> list[dict[str, Any]]:
    """A row a client that is alive; ``waiting`` are its pulls that were made at this worker.

    With ``most`` no more than so many: those that hold or wait for most, and of others those heard of last.
    """
    there = [client for client in dispatcher.clients if client.alive(now, dispatcher.clients.ttl)]
    if most is not None and len(there) > most:
        there = nlargest(most, there, key=lambda client: (client.in_flight + client.waiting, client.seen))
    return [
        {
            "client": client.name,
            "group": client.group,
            "in_flight": client.in_flight,
            "waiting": waiting.get(client.name, 0),
            "last_seen_unix_ms": unix_ms(client.seen),
            "delivered": client.delivered,
            "acked": client.acked,
            "nacked": client.nacked,
            "expired": client.expired,
        }
        for client in there
    ]


def full(dispatcher: Dispatcher) -> dict[str, list[int]]:
    """The limits that stop the intake at the moment, by their options, and the partitions of which they do."""
    if dispatcher.bytes_held() >= dispatcher.limits.buffer_bytes:
        return {"buffer-bytes": sorted(dispatcher.partitions)}
    stopped: dict[str, list[int]] = {}
    for number, partition in sorted(dispatcher.partitions.items()):
        limit = partition.full()
        if limit is not None and partition.log_end > partition.next_offset:
            stopped.setdefault(limit, []).append(number)
    return stopped


def stopped(dispatcher: Dispatcher) -> list[str]:
    """The same in words for an operator."""
    return [
        f"{limit} stops the intake of partitions {', '.join(map(str, numbers))}"
        for limit, numbers in full(dispatcher).items()
    ]


def unserved(dispatcher: Dispatcher, now: float) -> list[str]:
    """Why messages wait that the shares of the groups keep from who is there, in words for an operator."""
    sharing = dispatcher.sharing
    shares, alive = sharing.present(now), sharing.alive(now)
    if not shares:
        return ["all weights are 0: nobody is handed anything"]
    if alive and STABLE in shares and STABLE not in alive:
        there = dispatcher.lanes_there()
        if not there.isdisjoint((STABLE, None)):
            return [
                f"messages wait for the group {STABLE}, of which no client is alive; nobody else is given its share"
            ]
    return []


def full_of_blocked(dispatcher: Dispatcher) -> list[str]:
    """Says of each partition so whose intake is stopped by messages that wait for others of their key.

    Nothing of it is here then that could be handed out.
    """
    said = []
    for number, partition in sorted(dispatcher.partitions.items()):
        order, held = partition.key_order, partition.held
        full = held >= dispatcher.limits.max_ack_pending or dispatcher.bytes_held() >= dispatcher.limits.buffer_bytes
        stopped = full and partition.log_end > partition.next_offset
        if order is not None and stopped and partition.stuck and order.blocked > held / 2:
            said.append(
                f"partition {number} is full of messages that wait for earlier ones of their keys (--order key), "
                f"the first of these has offset {order.waited_for()}"
            )
    return said


def live_leases(dispatcher: Dispatcher, given_before: float, limit: int) -> list[LiveLease]:
    """Leases given at this time of the monotonic clock or earlier, oldest first."""
    runs = {run for partition in dispatcher.partitions.values() for run in partition.in_flight.values()}
    old = [run for run in runs if run.delivered_at <= given_before]
    leases: list[LiveLease] = []
    for run in sorted(old, key=lambda run: run.delivered_at):
        if len(leases) >= limit:
            break
        leases += [_lease(run, message) for message in dispatcher.leases.live_messages(run)]
    return nsmallest(limit, leases, key=lambda lease: (lease.delivered_at, lease.ref.partition, lease.ref.offset))


def _lease(run: LeaseRun, message: Message) -> LiveLease:
    ref = LeaseRef(run.partition, run.era, message.offset, run.delivery_count, run.batch)
    return LiveLease(ref, run.client, run.group, run.delivered_at, run.deadline)


def _age(message: Message | None) -> float | None:
    """Seconds; None of a message without a timestamp too, and of one that was handed over and not fetched yet."""
    if message is None or message.timestamp < 0:
        return None
    return max(0.0, time.time() - message.timestamp / 1000)


def partitions(dispatcher: Dispatcher, owner: str) -> list[dict[str, Any]]:
    """A row a partition. Ages are by the messages' own timestamps."""
    rows = []
    for number, partition in sorted(dispatcher.partitions.items()):
        rows.append(
            {
                "partition": number,
                "owner": owner,
                "era": partition.ledger.era,
                "floor": partition.ledger.floor,
                "committed": partition.ledger.committed,
                "settled_above_floor": len(partition.ledger.settled),
                "buffered": _buffered(partition),
                "delayed": len(partition.delayed) + len(partition.sleepers),
                "in_flight": len(partition.in_flight),
                "oldest_age_seconds": _age(partition.oldest_held()),
                "row_bytes": partition.row_bytes,
                "full": partition.full(),
                "blocked": partition.blocked,
                "next_offset": partition.next_offset,
                "log_start": partition.log_start,
                "log_end": max(partition.log_end, partition.next_offset),
            }
        )
    return rows
