"""What one pull is handed of what is there: returned messages first, then fresh ones, from one partition after another.

The first thing in an answer is taken however large it is, since nobody could ever take it otherwise; a message that is
to be handed out alone is the first thing or it waits for the next pull.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fanout_app.core.lanes import Lane
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
    #: Those it may take from. What nobody has failed yet is taken from the last one only.
    lanes: tuple[Lane, ...]


def lanes_with_something(partitions: Iterable[PartitionQueue]) -> set[Lane]:
    """The lanes in which something waits that could be handed out."""
    there: set[Lane] = set()
    for partition in partitions:
        if not partition.suspended:
            there.update(partition.fresh.lanes, partition.returned.lanes)
    return there


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
                lanes=wish.lanes,
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
            messages = partition.fresh.take(limit, room, lane=wish.lanes[-1], first=not picked)
            if messages:
                picked.append((partition, messages))
                limit -= len(messages)
                if partition.ledger.failures and partition.alone(messages[0].offset):
                    break
                if limit:
                    room -= sum(map(size_of, messages))
    return picked
