"""The unsettled messages of one partition that this worker holds, and where each of them stands.

A message is fresh (fetched, never handed out), in flight (under a lease), returned (its delivery ended badly; ready for
the next client) or delayed (returned, but not before a time). Settled ones are in the ledger and nowhere else.
The chain of positions also lives here: a fetch is taken only if it was asked at exactly the next offset, since records
can be dropped on the way and a jump between two fetches proves nothing; a hole *inside* what was asked does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import attrgetter

from fanout_app.core.lease import LeaseRun
from fanout_app.core.ledger import PartitionLedger
from fanout_app.core.message import Message, size_of
from fanout_app.core.redelivery import Returned, Returns

_offset = attrgetter("offset")


class PartitionQueue:
    """Everything this worker knows of one partition."""

    def __init__(self, number: int, ledger: PartitionLedger) -> None:
        self.number = number
        self.ledger = ledger
        #: The offset that the next fetch must have been asked at.
        self.next_offset = ledger.floor
        #: Lowest offset the log still has, as far as we know.
        self.log_start = 0
        self.log_end = 0
        self.suspended = False
        self.in_flight: dict[int, LeaseRun] = {}
        self.delayed: dict[int, Message] = {}
        self.returned = Returns()
        self._fresh: deque[Message] = deque()
        #: No fresh message is larger: while that many of it fit, nobody needs to weigh each of them.
        self._largest_fresh = 0
        self.bytes_held = 0

    def __repr__(self) -> str:
        return (
            f"<PartitionQueue {self.number} next={self.next_offset} fresh={self.fresh_count} "
            f"in_flight={len(self.in_flight)} returned={len(self.returned)} delayed={len(self.delayed)} "
            f"{self.ledger!r}>"
        )

    @property
    def fresh_count(self) -> int:
        return len(self._fresh)

    @property
    def held(self) -> int:
        """Unsettled messages in memory."""
        return len(self._fresh) + len(self.in_flight) + len(self.returned) + len(self.delayed)

    def oldest_held(self) -> Message | None:
        """The unsettled message with the lowest offset."""
        offset = min((*self.in_flight, *self.returned, *self.delayed), default=None)
        fresh = self._fresh[0] if self._fresh else None
        if offset is None or (fresh is not None and fresh.offset < offset):
            return fresh
        run = self.in_flight.get(offset)
        if run is not None:
            return run.message(offset)
        entry = self.returned.get(offset)
        return entry.message if entry is not None else self.delayed[offset]

    def offer(self, asked: int, after: int, messages: Sequence[Message]) -> bool:
        """Take a fetch that was asked at ``asked`` and left the consumer's position at ``after``.

        Offsets in between without a record do not exist (compacted, aborted, control records) and are settled.

        Returns:
            False if the fetch does not continue the chain: nothing was taken, seek back to ``next_offset``.
        """
        if asked != self.next_offset or after < asked:
            return False
        ledger = self.ledger
        self.next_offset = after
        if len(messages) != after - asked:
            self._settle_holes(asked, after, messages)
        if messages and ledger.any_settled_in(messages[0].offset, messages[-1].offset + 1):
            messages = [message for message in messages if not ledger.is_settled(message.offset)]
        if messages:
            sizes = list(map(size_of, messages))
            self.bytes_held += sum(sizes)
            self._largest_fresh = max(self._largest_fresh if self._fresh else 0, *sizes)
            self._fresh.extend(messages)
        return True

    def _settle_holes(self, asked: int, after: int, messages: Iterable[Message]) -> None:
        expected = asked
        for message in messages:
            if message.offset > expected:
                self.ledger.settle_range(expected, message.offset)
            expected = message.offset + 1
        if after > expected:
            self.ledger.settle_range(expected, after)

    def log_starts_at(self, offset: int) -> int:
        """Retention has moved the start of the log: what lay below and was not fetched will never come.

        Returns:
            How many messages were lost to retention.
        """
        self.log_start = max(self.log_start, offset)
        if offset <= self.next_offset:
            return 0
        lost = self.ledger.unsettled_in(self.next_offset, offset)
        self.ledger.settle_range(self.next_offset, offset)
        self.next_offset = offset
        return lost

    def take_fresh(self, limit: int, room: int, *, alone: bool = True) -> list[Message]:
        """Up to ``limit`` messages of up to ``room`` bytes in all, in order of offset.

        With ``alone`` the first one is taken however large it is: nobody could ever take it otherwise.
        """
        fresh = self._fresh
        count = min(limit, len(fresh))
        if count * self._largest_fresh > room:
            count = self._fitting(count, room) or int(alone and count > 0)
        return [fresh.popleft() for _ in range(count)]

    def _fitting(self, count: int, room: int) -> int:
        fitting = 0
        for message in islice(self._fresh, count):
            room -= size_of(message)
            if room < 0:
                break
            fitting += 1
        return fitting

    def lease(self, run: LeaseRun) -> None:
        """Record that these messages are now under this lease."""
        self.in_flight.update(dict.fromkeys([message.offset for message in run.messages], run))

    def give_back(self, message: Message, *, barred: str | None, until: float) -> None:
        """Make a message ready for the next client."""
        self.returned.add(Returned(message, barred, until))

    def forget(self, offset: int) -> None:
        """A settled message that is not in flight needs no place any more."""
        message = self.returned.discard(offset) or self.delayed.pop(offset, None) or self._discard_fresh(offset)
        if message is not None:
            self.bytes_held -= size_of(message)

    def _discard_fresh(self, offset: int) -> Message | None:
        fresh = self._fresh
        at = bisect_left(fresh, offset, key=_offset)
        if at == len(fresh) or fresh[at].offset != offset:
            return None
        message = fresh[at]
        del fresh[at]
        return message

    def clear(self) -> None:
        """Let go of all messages: whoever still refers to a partition that was dropped must not hold its bodies."""
        self.in_flight.clear()
        self.delayed.clear()
        self.returned = Returns()
        self._fresh.clear()
        self.bytes_held = 0
