"""What one pull is handed of what is there: returned messages first, then fresh ones, from one partition after another.

The first thing in an answer is taken however large it is, since nobody could ever take it otherwise; a message that is
to be handed out alone is the first thing or it waits for the next pull.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from fanout_app.core.message import Message, size_of
from fanout_app.core.partition import PartitionQueue

Picked = list[tuple[PartitionQueue, list[Message]]]


class Wish(NamedTuple):
    """What may go into an answer."""

    client: str
    messages: int
    #: Bytes.
    room: int
    #: Another client could take what this one is barred from.
    others_wait: bool
    #: It may have what is for the baseline.
    stable: bool


def has_something(partition: PartitionQueue) -> bool:
    return not partition.suspended and bool(partition.fresh or partition.returned)


def pick(partitions: Mapping[int, PartitionQueue], turn: deque[int], wish: Wish, now: float) -> Picked:
    """Take messages for an answer. ``turn`` holds the partitions in the order of their turns and is moved on."""
    limit, room = wish.messages, wish.room
    picked: Picked = []
    for partition in partitions.values():
        if partition.returned and not partition.suspended and limit:
            messages = partition.returned.take(
                wish.client,
                now,
                limit,
                room,
                stable=wish.stable,
                first=not picked,
                others_wait=wish.others_wait,
                alone=partition.alone,
            )
            if messages:
                picked.append((partition, messages))
                if partition.alone(messages[0].offset):
                    return picked
                limit -= len(messages)
                room -= sum(map(size_of, messages))
    for _ in range(len(turn)):
        if not limit or (picked and room <= 0):
            break
        partition = partitions[turn[0]]
        turn.rotate(-1)
        if partition.fresh and not partition.suspended:
            messages = partition.fresh.take(limit, room, first=not picked)
            if messages:
                picked.append((partition, messages))
                limit -= len(messages)
                if partition.ledger.failures and partition.alone(messages[0].offset):
                    break
                if limit:
                    room -= sum(map(size_of, messages))
    return picked
