"""The intake of a worker whose groups each get every message: what is fetched goes through it to the queue of each.

It holds no messages. In each partition it has the position of the fetches, which all groups share, and the ledger of
the partition itself, whose floor is the lowest of the groups'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.lease import HandedOver
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.limits import Limits
from fanout_app.core.message import Message
from fanout_app.core.parked import REDRIVEN_FOR
from fanout_app.core.partition import PartitionQueue


class _PassingQueue(PartitionQueue):
    """One partition of it."""

    #: Answers those of the groups.
    followers: Callable[[], Iterable[PartitionQueue]] = staticmethod(tuple)

    @property
    def log_end(self) -> int:
        return self._log_end

    @log_end.setter
    def log_end(self, offset: int) -> None:
        self._log_end = offset
        for follower in self.followers():
            follower.log_end = offset

    def offer(self, asked: int, after: int, messages: Sequence[Message]) -> bool:
        if asked != self.next_offset or after < asked:
            return False
        self.next_offset = after
        if messages:
            self._candidates.saw(messages[-1])
        return True

    def log_starts_at(self, offset: int) -> int:
        self.log_start = max(self.log_start, offset)
        self.next_offset = max(self.next_offset, offset)
        return 0


class Passing(Dispatcher):
    """All that comes and goes with a partition does so at the groups that have a ledger in it."""

    _queue = _PassingQueue

    def __init__(self, limits: Limits, addresses: bytes) -> None:
        """``addresses`` is what those of our groups begin with, see `fanout_app.core.parked.address`."""
        super().__init__(limits, new_batch=lambda: 0, jitter=lambda: 0.0)
        self._addresses = addresses
        self.groups: dict[str, Dispatcher] = {}
        #: Told that floors may have moved by what was redriven for another group: nobody settles that.
        self.on_passed_over: Callable[[], None] = lambda: None

    def _of(self, number: int) -> Iterator[tuple[Dispatcher, PartitionQueue]]:
        for group in self.groups.values():
            partition = group.partitions.get(number)
            if partition is not None:
                yield group, partition

    def assign(self, number: int, snapshot: LedgerSnapshot) -> PartitionQueue:
        partition = super().assign(number, snapshot)
        assert isinstance(partition, _PassingQueue)
        partition.followers = lambda: [queue for _, queue in self._of(number)]
        return partition

    def assign_group(self, group: Dispatcher, number: int, snapshot: LedgerSnapshot) -> PartitionQueue:
        """Let a group have this ledger in a partition that is here, from the position of the fetches on.

        Before the first fetch that is the lowest floor of all.
        """
        base = self.partitions[number]
        partition = group.assign(number, snapshot)
        partition.next_offset = base.next_offset
        partition.log_start, partition.log_end = base.log_start, base.log_end
        partition.suspended = True
        return partition

    def start_at(self, number: int, offset: int) -> None:
        """Before the first fetch: read from here on, where that is below the floor."""
        partition = self.partitions[number]
        partition.next_offset = min(partition.next_offset, offset)

    def take_over(self, number: int, handed_over: Iterable[HandedOver], now: float) -> int:
        """What clients had in a time of balance is for every group: held back here it would be room that nobody has."""
        return 0

    def suspend(self) -> None:
        super().suspend()
        for group in self.groups.values():
            group.suspend()

    def resume(self, number: int) -> None:
        super().resume(number)
        for group, _ in self._of(number):
            group.resume(number)

    def drop(self, number: int, now: float) -> None:
        super().drop(number, now)
        for group, _ in self._of(number):
            group.drop(number, now)

    def offer(self, number: int, asked: int, after: int, messages: Sequence[Message]) -> bool:
        if not super().offer(number, asked, after, messages):
            return False
        for_one = self._for_one_group(messages)
        for name, group in self.groups.items():
            if number in group.partitions:
                # Passed over as if it was not there: whom it is not for has settled it before, at another offset.
                mine = messages if not for_one else [one for one in messages if for_one.get(one.offset, name) == name]
                taken = group.offer(number, asked, after, mine)
                assert taken, "a group's position is that of the fetches"
        if for_one:
            self.on_passed_over()
        return True

    def _for_one_group(self, messages: Iterable[Message]) -> dict[int, str]:
        """Offset -> the group that a message was redriven for, where it was for one.

        A redrive writes that last. Where it stands elsewhere, or is of another id or topic, a client has written the
        message on with all its headers, or it was redriven again for anybody: it is one like any other.
        """
        found: dict[int, str] = {}
        for message in messages:
            if message.headers:
                name, content = message.headers[-1]
                if name == REDRIVEN_FOR and content is not None and content.startswith(self._addresses):
                    found[message.offset] = content.removeprefix(self._addresses).decode(errors="replace")
        return found

    def log_starts_at(self, number: int, offset: int) -> int:
        super().log_starts_at(number, offset)
        return sum(group.log_starts_at(number, offset) for group, _ in self._of(number))

    def wants(self, number: int, now: float) -> bool:
        """Whether there is somebody to offer it to, and room at all of them; who is not alive is dropped in a while."""
        partition = self.partitions.get(number)
        if partition is None or partition.suspended or self.paused or partition.full() is not None:
            return False
        if not partition.ledger.opened:
            return False
        groups = list(self._of(number))
        return bool(groups) and all(
            queue.full() is None and group.bytes_held() < self.limits.buffer_bytes for group, queue in groups
        )
