"""What one pull is handed of what is there: returned messages first, then fresh ones, from one partition after another.

Small pulls in a row are served from one partition: each partition of which something is settled has a row to be
written, and that is what they would cost most.

The first thing in an answer is taken however large it is, since nobody could ever take it otherwise; a message that is
to be handed out alone is the first thing or it waits for the next pull.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import NamedTuple

from fanout_app.core.lanes import Lane
from fanout_app.core.message import Message, size_of
from fanout_app.core.partition import PartitionQueue

Picked = list[tuple[PartitionQueue, list[Message]]]

#: Fresh messages that are taken from a partition before it is the next one's turn. Two or three for each of some tens
#: of clients: what is settled together is of one or two partitions then.
IN_A_ROW = 64


class Turns:
    """The partitions in the order of their turns."""

    def __init__(self, in_a_row: int = IN_A_ROW) -> None:
        self._in_a_row = in_a_row
        self._ring: deque[int] = deque()
        #: Whose turn has begun, and what was taken in it.
        self._whose: int | None = None
        self._taken = 0

    def __len__(self) -> int:
        return len(self._ring)

    def add(self, number: int) -> None:
        self._ring.append(number)

    def remove(self, number: int) -> None:
        self._ring.remove(number)
        if self._whose == number:
            self._whose = None

    @property
    def first(self) -> int:
        """Whose turn it is; raises IndexError where there is none."""
        return self._ring[0]

    def took(self, messages: int) -> None:
        """So many were taken of the first one, and there may be more."""
        if self._whose != self._ring[0]:
            self._whose, self._taken = self._ring[0], 0
        self._taken += messages
        if self._taken >= self._in_a_row:
            self.over()

    def over(self) -> None:
        """The first one's turn is over."""
        self._whose = None
        self._ring.rotate(-1)

    def skip(self) -> None:
        """The first one has nothing for this answer. Where none has, it is as if nobody had asked."""
        self._ring.rotate(-1)


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
    #: It let a lease end: what others failed waits a while for one that did not.
    in_doubt: bool = False
    #: Who comes first where something was failed, at most two of them: two can take all there is.
    first: tuple[str, ...] = ()


def lanes_with_something(
    partitions: Mapping[int, PartitionQueue], returning: Collection[int], *, by_key: bool
) -> set[Lane]:
    """The lanes in which something waits that could be handed out; ``returning`` as for `pick`.

    Asked for at each hand-out. Where lanes do not go by keys all that is fresh waits in one: the first partition that
    has some tells, which mostly is the first one.
    """
    there: set[Lane] = set()
    for partition in partitions.values():
        if not partition.suspended and partition.fresh:
            there.update(partition.fresh.lanes)
            if not by_key:
                break
    for number in returning:
        if number in partitions and not partitions[number].suspended:
            there.update(partitions[number].returned.lanes)
    return there


def pick(partitions: Mapping[int, PartitionQueue], returning: set[int], turns: Turns, wish: Wish, now: float) -> Picked:
    """Take messages for an answer, and count them as part of the turns.

    ``returning`` are the partitions in which something may have been returned; those where nothing is leave it.
    """
    limit, room = wish.messages, wish.room
    picked: Picked = []
    may_have_some = returning and len(wish.first) < 2
    for number in [number for number in partitions if number in returning] if may_have_some else ():
        partition = partitions[number]
        if not partition.returned:
            returning.discard(number)
        elif not partition.suspended and limit:
            messages = partition.returned.take(
                wish.client,
                now,
                limit,
                room,
                lanes=wish.lanes,
                first=not picked,
                others_wait=wish.others_wait,
                alone=partition.alone,
                in_doubt=wish.in_doubt,
                only_of=wish.first[0] if wish.first else None,
            )
            if messages:
                picked.append((partition, messages))
                if partition.alone(messages[0].offset):
                    return picked
                limit -= len(messages)
                room -= sum(map(size_of, messages))
    for _ in range(len(turns)):
        if not limit or (picked and room <= 0):
            break
        partition = partitions[turns.first]
        messages = []
        if partition.fresh and not partition.suspended:
            messages = partition.fresh.take(limit, room, lane=wish.lanes[-1], first=not picked)
        if not messages:
            turns.skip()
            continue
        picked.append((partition, messages))
        limit -= len(messages)
        if partition.ledger.failures and partition.alone(messages[0].offset):
            turns.over()
            break
        if limit:
            turns.over()
            room -= sum(map(size_of, messages))
        else:
            turns.took(len(messages))
    return picked
