"""The unsettled messages of one partition that this worker holds, and where each of them stands.

A message is fresh (fetched, never handed out), in flight (under a lease), returned (its delivery ended badly; ready for
the next client) or delayed (returned, but not before a time). Settled ones are in the ledger and nowhere else.
The chain of positions also lives here: a fetch is taken only if it was asked at exactly the next offset, since records
can be dropped on the way and a jump between two fetches proves nothing; a hole *inside* what was asked does.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fanout_app.core.lease import LeaseRun
from fanout_app.core.ledger import PartitionLedger
from fanout_app.core.message import Message, size_of


@dataclass(slots=True)
class Returned:
    """A message whose delivery ended badly. ``barred`` is the client that failed it, until ``barred_until``."""

    message: Message
    barred: str | None
    barred_until: float


class _Chunk:
    """Fetched messages of one fetch that nobody has had yet; taken from the front by moving ``start``."""

    __slots__ = ("largest", "messages", "start")

    def __init__(self, messages: Sequence[Message], largest: int) -> None:
        self.messages = messages
        self.start = 0
        self.largest = largest


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
        self.returned: dict[int, Returned] = {}
        self._returned_heap: list[int] = []
        self._fresh: deque[_Chunk] = deque()
        self.fresh_count = 0
        self.bytes_held = 0

    def __repr__(self) -> str:
        return (
            f"<PartitionQueue {self.number} next={self.next_offset} fresh={self.fresh_count} "
            f"in_flight={len(self.in_flight)} returned={len(self.returned)} delayed={len(self.delayed)} "
            f"{self.ledger!r}>"
        )

    @property
    def held(self) -> int:
        """Unsettled messages in memory."""
        return self.fresh_count + len(self.in_flight) + len(self.returned) + len(self.delayed)

    def oldest_held(self) -> Message | None:
        """The unsettled message with the lowest offset."""
        found: list[Message] = [chunk.messages[chunk.start] for chunk in list(self._fresh)[:1]]
        if self.returned:
            found.append(self.returned[min(self.returned)].message)
        if self.delayed:
            found.append(self.delayed[min(self.delayed)])
        if self.in_flight:
            run = self.in_flight[min(self.in_flight)]
            offset = min(self.in_flight)
            found.append(next(message for message in run.messages if message.offset == offset))
        return min(found, key=lambda message: message.offset, default=None)

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
            self.fresh_count += len(messages)
            self._fresh.append(_Chunk(messages, max(sizes)))
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
        taken: list[Message] = []
        while self._fresh and len(taken) < limit:
            chunk = self._fresh[0]
            count = min(limit - len(taken), len(chunk.messages) - chunk.start)
            if count * chunk.largest <= room:
                room -= count * chunk.largest
            else:
                count = self._fitting(chunk, count, room, alone and not taken)
                room = 0
                if not count:
                    break
            part = chunk.messages[chunk.start : chunk.start + count]
            chunk.start += count
            if chunk.start == len(chunk.messages):
                self._fresh.popleft()
            self.fresh_count -= count
            if self.ledger.any_settled_in(part[0].offset, part[-1].offset + 1):
                for message in part:
                    if self.ledger.is_settled(message.offset):
                        self.bytes_held -= size_of(message)
                part = [message for message in part if not self.ledger.is_settled(message.offset)]
            taken.extend(part)
        return taken

    @staticmethod
    def _fitting(chunk: _Chunk, count: int, room: int, alone: bool) -> int:
        fitting = 0
        for message in chunk.messages[chunk.start : chunk.start + count]:
            room -= size_of(message)
            if room < 0:
                break
            fitting += 1
        return fitting or int(alone)

    def take_returned(self, client: str, now: float, limit: int, room: int) -> list[Message]:
        """Returned messages that this client may have, lowest offset first, within the limits of `take_fresh`."""
        taken: list[Message] = []
        barred: list[int] = []
        while self._returned_heap and len(taken) < limit:
            offset = heapq.heappop(self._returned_heap)
            entry = self.returned.get(offset)
            if entry is None:
                continue
            if entry.barred == client and now < entry.barred_until:
                barred.append(offset)
                continue
            size = size_of(entry.message)
            if taken and size > room:
                barred.append(offset)
                break
            room -= size
            del self.returned[offset]
            taken.append(entry.message)
        for offset in barred:
            heapq.heappush(self._returned_heap, offset)
        return taken

    def lease(self, run: LeaseRun) -> None:
        """Record that these messages are now under this lease."""
        self.in_flight.update(dict.fromkeys([message.offset for message in run.messages], run))

    def give_back(self, message: Message, *, barred: str | None, until: float) -> None:
        """Make a message ready for the next client."""
        self.returned[message.offset] = Returned(message, barred, until)
        heapq.heappush(self._returned_heap, message.offset)

    def forget(self, offset: int) -> None:
        """A settled message that is not in flight needs no place any more; a fresh one is dropped when taken."""
        entry = self.returned.pop(offset, None)
        message = entry.message if entry else self.delayed.pop(offset, None)
        if message is not None:
            self.bytes_held -= size_of(message)
