"""What the queue has and hands to nobody for now: messages that sleep until they are read again, and those spent.

Somebody else has to do something for either, which takes a while: bodies are read, dead letters written. What is said
of that counts only as long as the message still waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.message import Message
from fanout_app.core.redelivery import Spent

#: Messages whose bodies are read although the buffer is full, of one partition at a time.
_A_FEW = 10


class Resting:
    """Those of one dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._partitions = dispatcher.partitions
        self._leases = dispatcher.leases

    def anything_due(self) -> bool:
        """Whether a message that slept wants to be read. Asked at every pull: no partition is looked at in vain."""
        waking = self._leases.waking
        while waking:
            number = next(iter(waking))
            if number in self._partitions and self._partitions[number].sleepers.due:
                return True
            waking.discard(number)
        return False

    def to_read(self, most: int, now: float) -> dict[int, list[int]]:
        """Messages that slept and are due, up to so many a partition: read their bodies, then call `awake`.

        None as long as nobody is there to take them or the buffer is full: they can sleep on at no cost. But where the
        buffer may be full of what waits for them, a few.
        """
        if self._dispatcher.paused or not self._dispatcher.clients.someone_alive(now):
            return {}
        ready = [one for one in self._partitions.values() if one.sleepers.due and not one.suspended]
        if self._dispatcher.bytes_held() >= self._dispatcher.limits.buffer_bytes:
            ready = [partition for partition in ready if partition.stuck]
            most = min(most, _A_FEW)
        return {partition.number: partition.sleepers.to_read(most) for partition in ready}

    def awake(self, number: int, era: int, offsets: Sequence[int], found: Mapping[int, Message], now: float) -> int:
        """These were read for `to_read`; what was not found exists no more.

        Returns:
            How many messages were lost to retention or compaction.
        """
        partition = self._partitions.get(number)
        if partition is None or partition.ledger.era != era:
            return 0
        lost = [offset for offset in offsets if not partition.wake(offset, found.get(offset), now)]
        partition.settle(lost)
        self._leases.counters.lost_to_retention += len(lost)
        return len(lost)

    def not_read(self, number: int, offsets: Sequence[int]) -> None:
        """They could not be read; `to_read` answers them again."""
        partition = self._partitions.get(number)
        if partition is not None:
            partition.sleepers.not_read(offsets)
            self._leases.waking.add(number)

    # Spent -----------------------------------------------------------------------------------------------------------

    def spent(self) -> list[Spent]:
        """What has been given up on and waits to be put where such messages go."""
        return [spent for partition in self._partitions.values() for spent in partition.spent.values()]

    def is_spent(self, spent: Spent) -> bool:
        """False if somebody has settled it meanwhile, or the partition is not ours any more."""
        partition = self._partitions.get(spent.partition)
        return partition is not None and partition.spent.get(spent.message.offset) is spent

    def put_away(self, spent: Spent) -> bool:
        """It is there now: settle it. False if `is_spent` is no longer true."""
        if not self.is_spent(spent):
            return False
        partition = self._partitions[spent.partition]
        partition.forget(spent.message.offset)
        partition.settle((spent.message.offset,))
        self._leases.counters.dead_lettered += 1
        return True
