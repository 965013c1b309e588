"""The unsettled messages of one partition that this worker holds, and where each of them stands.

A message is fresh (fetched, never handed out), in flight (under a lease), returned (its delivery ended badly; ready for
the next client), delayed (returned, but not before a time; for a long one it sleeps: its body is let go of and read
again when it is due) or spent (given up on, and about to be written where such messages go). Settled ones are in the
ledger and nowhere else.
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
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger
from fanout_app.core.limits import Limits
from fanout_app.core.message import Message, size_of
from fanout_app.core.redelivery import Returned, Returns, Spent
from fanout_app.core.sleepers import Sleepers
from fanout_app.core.witness import Candidates

_offset = attrgetter("offset")


class PartitionQueue:
    """Everything this worker knows of one partition."""

    def __init__(self, number: int, ledger: PartitionLedger, limits: Limits) -> None:
        self.number = number
        self.ledger = ledger
        self._limits = limits
        #: The offset that the next fetch must have been asked at.
        self.next_offset = ledger.floor
        #: Lowest offset the log still has, as far as we know.
        self.log_start = 0
        self.log_end = 0
        self.suspended = False
        #: Size of the ledger's row when it was written last.
        self.row_bytes = 0
        self.in_flight: dict[int, LeaseRun] = {}
        self.delayed: dict[int, Message] = {}
        self.sleepers = Sleepers()
        self.returned = Returns()
        #: Given up on: not handed out any more, not settled before they are where such messages go.
        self.spent: dict[int, Spent] = {}
        self._candidates = Candidates()
        self._fresh: deque[Message] = deque()
        #: No fresh message is larger: while that many of it fit, nobody needs to weigh each of them.
        self._largest_fresh = 0
        #: Fresh messages that failed with an earlier owner often enough to be handed out alone.
        self._suspects: set[int] = set()
        self.bytes_held = 0

    def __repr__(self) -> str:
        return (
            f"<PartitionQueue {self.number} next={self.next_offset} fresh={self.fresh_count} "
            f"in_flight={len(self.in_flight)} returned={len(self.returned)} delayed={len(self.delayed)} "
            f"asleep={len(self.sleepers)} spent={len(self.spent)} {self.ledger!r}>"
        )

    @property
    def fresh_count(self) -> int:
        return len(self._fresh)

    @property
    def held(self) -> int:
        """Unsettled messages in memory."""
        return len(self._fresh) + len(self.in_flight) + len(self.returned) + len(self.delayed) + len(self.spent)

    def full(self) -> str | None:
        """Which limit of the partition's own stops its intake, by its option; None if none does."""
        if self.held >= self._limits.max_ack_pending:
            return "max-ack-pending"
        if self.row_bytes >= self._limits.max_row_bytes:
            return "max-row-bytes"
        return None

    def snapshot(self) -> LedgerSnapshot:
        """The ledger as it is to be written."""
        witness = self._candidates.passed(self.ledger.floor)
        if witness is not None:
            self.ledger.bear(witness)
        return self.ledger.snapshot()

    def oldest_held(self) -> Message | None:
        """The message in memory with the lowest offset."""
        offset = min((*self.in_flight, *self.returned, *self.delayed, *self.spent), default=None)
        fresh = self._fresh[0] if self._fresh else None
        if offset is None or (fresh is not None and fresh.offset < offset):
            return fresh
        run = self.in_flight.get(offset)
        if run is not None:
            return run.message(offset)
        entry = self.returned.get(offset)
        if entry is not None:
            return entry.message
        spent = self.spent.get(offset)
        return spent.message if spent is not None else self.delayed[offset]

    # Intake ----------------------------------------------------------------------------------------------------------

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
        if messages:
            self._candidates.saw(messages[-1])
        if len(messages) != after - asked:
            self._settle_holes(asked, after, messages)
        if messages and ledger.any_settled_in(messages[0].offset, messages[-1].offset + 1):
            messages = [message for message in messages if not ledger.is_settled(message.offset)]
        if messages:
            sizes = list(map(size_of, messages))
            self.bytes_held += sum(sizes)
            if ledger.failures:
                messages = self._apart(messages)
            self._largest_fresh = max(self._largest_fresh if self._fresh else 0, *sizes)
            self._fresh.extend(messages)
        return True

    def _apart(self, messages: Sequence[Message]) -> list[Message]:
        """Keep out what an earlier owner has tried as often as may be, and remember what is to be handed out alone."""
        failures, limit = self.ledger.failures, self._limits.max_deliver
        fresh = []
        for message in messages:
            count = failures.get(message.offset, 0)
            if limit is not None and count >= limit:
                self.give_up_on(message, count, "deliveries used up at an earlier owner", "")
                continue
            if count and self.alone(message.offset):
                self._suspects.add(message.offset)
            fresh.append(message)
        return fresh

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

    # Handing out -----------------------------------------------------------------------------------------------------

    def alone(self, offset: int) -> bool:
        """Whether the next delivery of a message is to be the only one of its answer."""
        return self.ledger.delivery_count(offset) >= self._limits.alone_from

    def take_fresh(self, limit: int, room: int, *, first: bool = True) -> list[Message]:
        """Up to ``limit`` messages of up to ``room`` bytes in all, in order of offset.

        Where these are the ``first`` ones of an answer, one is taken however large it is (nobody could ever take it
        otherwise), and one that is to be handed out alone is all that is taken.
        """
        fresh = self._fresh
        count = min(limit, len(fresh))
        if count * self._largest_fresh > room:
            count = self._fitting(count, room) or int(first and count > 0)
        if self._suspects:
            count = self._up_to_suspect(count, first=first)
        return [fresh.popleft() for _ in range(count)]

    def _fitting(self, count: int, room: int) -> int:
        fitting = 0
        for message in islice(self._fresh, count):
            room -= size_of(message)
            if room < 0:
                break
            fitting += 1
        return fitting

    def _up_to_suspect(self, count: int, *, first: bool) -> int:
        for index, message in enumerate(islice(self._fresh, count)):
            if message.offset in self._suspects:
                if index or not first:
                    return index
                self._suspects.discard(message.offset)
                return 1
        return count

    def lease(self, run: LeaseRun) -> None:
        """Record that these messages are now under this lease."""
        self.in_flight.update(dict.fromkeys([message.offset for message in run.messages], run))

    # Coming back -----------------------------------------------------------------------------------------------------

    def give_back(self, message: Message, *, barred: str | None, until: float) -> None:
        """Make a message ready for the next client."""
        self.returned.add(Returned(message, barred, until))

    def give_up_on(self, message: Message, delivery_count: int, reason: str, client: str) -> None:
        """Nobody is to have this message again."""
        self.spent[message.offset] = Spent(self.number, self.ledger.era, message, delivery_count, reason, client)

    def put_to_sleep(self, message: Message, failed_by: str) -> None:
        """Let go of a message's body; it is read again when it is due."""
        self.sleepers.add(message.offset, failed_by)
        self.bytes_held -= size_of(message)

    def wake(self, offset: int, message: Message | None, now: float) -> bool:
        """A message that slept was read again, or looked for in vain; False if it exists no more: settle it."""
        failed_by = self.sleepers.awake(offset)
        if failed_by is None:
            return True  # settled while it was being read
        if message is None:
            return False
        self.bytes_held += size_of(message)
        # Others had the delay to come: who failed it has no longer to wait for them, only to stand back.
        self.give_back(message, barred=failed_by, until=now)
        return True

    def forget(self, offset: int) -> None:
        """A settled message that is not in flight needs no place any more."""
        self.sleepers.discard(offset)
        message = self.returned.discard(offset) or self.delayed.pop(offset, None) or self._discard_spent(offset)
        message = message or self._discard_fresh(offset)
        if message is not None:
            self.bytes_held -= size_of(message)

    def _discard_spent(self, offset: int) -> Message | None:
        spent = self.spent.pop(offset, None)
        return None if spent is None else spent.message

    def _discard_fresh(self, offset: int) -> Message | None:
        fresh = self._fresh
        at = bisect_left(fresh, offset, key=_offset)
        if at == len(fresh) or fresh[at].offset != offset:
            return None
        message = fresh[at]
        del fresh[at]
        self._suspects.discard(offset)
        return message

    def clear(self) -> None:
        """Let go of all messages: whoever still refers to a partition that was dropped must not hold its bodies."""
        self.in_flight.clear()
        self.delayed.clear()
        self.sleepers = Sleepers()
        self.returned = Returns()
        self.spent.clear()
        self._fresh.clear()
        self._suspects.clear()
        self.bytes_held = 0
