"""The unsettled messages of one partition that this worker holds, and where each of them stands.

A message is fresh (fetched, never handed out), in flight (under a lease), returned (its delivery ended badly; ready for
the next client), delayed (returned, but not before a time; for a long one it sleeps: its body is let go of and read
again when it is due) or spent (given up on, and about to be written where such messages go). Where messages of a key
are handed out in order, one may be blocked before it is fresh. Settled ones are in the ledger and nowhere else. What an
earlier owner has handed out is in flight before it was ever fetched: its body is not here, the fetch that brings it
passes it over, and it sleeps when it comes back.
The chain of positions also lives here: a fetch is taken only if it was asked at exactly the next offset, since records
can be dropped on the way and a jump between two fetches proves nothing; a hole *inside* what was asked does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter

from fanout_app.core.ahead import Ahead, still_out
from fanout_app.core.fresh import Fresh
from fanout_app.core.key_order import KeyOrder
from fanout_app.core.lanes import BY_MESSAGE, Lanes
from fanout_app.core.lease import HandedOver, LeaseRun
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger
from fanout_app.core.limits import Limits
from fanout_app.core.message import Bodiless, Message, size_of
from fanout_app.core.redelivery import Delayed, Returned, Returns, Spent
from fanout_app.core.shares import STABLE
from fanout_app.core.sleepers import Sleeper, Sleepers
from fanout_app.core.witness import Candidates

_offset = attrgetter("offset")


class PartitionQueue:
    """Everything this worker knows of one partition."""

    def __init__(self, number: int, ledger: PartitionLedger, limits: Limits, lanes: Lanes = BY_MESSAGE) -> None:
        self.number = number
        self.ledger = ledger
        self._limits = limits
        self._lanes = lanes
        #: The offset that the next fetch must have been asked at.
        self.next_offset = ledger.floor
        #: Lowest offset the log still has, as far as we know.
        self.log_start = 0
        self._log_end = 0
        self.suspended = False
        #: Size of the ledger's row when it was written last.
        self.row_bytes = 0
        #: There was a warning of that.
        self.row_is_warned_of = False
        self.in_flight: dict[int, LeaseRun] = {}
        self.delayed: dict[int, Delayed] = {}
        self.sleepers = Sleepers()
        self.returned = Returns()
        #: Given up on: not handed out any more, not settled before they are where such messages go.
        self.spent: dict[int, Spent] = {}
        self.fresh = Fresh(lanes)
        #: None where messages of one key need not wait for one another.
        self.key_order = KeyOrder() if limits.order_by_key else None
        #: Of messages that a client of another group than `STABLE` has failed last: which one.
        self._failed_by: dict[int, str] = {}
        self._candidates = Candidates()
        #: Those handed over that no fetch has passed yet.
        self._ahead = Ahead()
        self.bytes_held = 0
        #: Told its number when a message is ready to be delivered again.
        self.on_returned: Callable[[int], None] = lambda number: None

    def __repr__(self) -> str:
        return (
            f"<PartitionQueue {self.number} next={self.next_offset} fresh={len(self.fresh)} "
            f"in_flight={len(self.in_flight)} returned={len(self.returned)} delayed={len(self.delayed)} "
            f"asleep={len(self.sleepers)} spent={len(self.spent)} {self.ledger!r}>"
        )

    @property
    def log_end(self) -> int:
        """The offset that the next record of the log will have, as far as we know."""
        return self._log_end

    @log_end.setter
    def log_end(self, offset: int) -> None:
        self._log_end = offset

    @property
    def lag(self) -> int:
        """Messages of the log that are not settled, here or not fetched yet. An offset ahead counts as a message."""
        return self.ledger.unsettled_in(self.ledger.floor, max(self.log_end, self.next_offset))

    @property
    def held(self) -> int:
        """Unsettled messages in memory."""
        out = len(self.fresh) + len(self.in_flight) + len(self.returned) + len(self.delayed) + len(self.spent)
        return out + self.blocked

    @property
    def blocked(self) -> int:
        """Those of them that wait for an earlier one of their key."""
        return 0 if self.key_order is None else self.key_order.blocked

    @property
    def stuck(self) -> bool:
        """Some wait for others of their key, and nothing is here that could be handed out."""
        return self.blocked > 0 and not self.fresh and not self.returned

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
        waiting = [self.fresh.lowest(), self.key_order.lowest() if self.key_order is not None else None]
        first = min((message for message in waiting if message is not None), key=_offset, default=None)
        if offset is None or (first is not None and first.offset < offset):
            return first
        run = self.in_flight.get(offset)
        if run is not None:
            return run.message(offset)
        entry = self.returned.get(offset)
        if entry is not None:
            return entry.message
        spent = self.spent.get(offset)
        return spent.message if spent is not None else self.delayed[offset].message

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
        known = self._overtake(after) if self._ahead else ()
        if messages:
            self._candidates.saw(messages[-1])
        if len(messages) != after - asked:
            self._settle_holes(asked, after, [*map(_offset, messages)], known)
        if known:
            messages = self._unknown(messages, known)
        if messages and ledger.any_settled_in(messages[0].offset, messages[-1].offset + 1):
            messages = [message for message in messages if not ledger.is_settled(message.offset)]
        if messages and self.key_order is not None:
            messages, blocked = self.key_order.admit(messages)
            self.bytes_held += sum(map(size_of, blocked))
        if messages:
            if ledger.failures:
                messages = self._apart(messages)
            if messages:
                self.bytes_held += self.fresh.add(messages)
        return True

    def _apart(self, messages: Sequence[Message]) -> list[Message]:
        """Keep out what an earlier owner has tried as often as may be, and remember what is to be handed out alone."""
        fresh = []
        for message in messages:
            if self._used_up(message):
                self.bytes_held += size_of(message)
            else:
                fresh.append(message)
        return fresh

    def _used_up(self, message: Message) -> bool:
        count, limit = self.ledger.failures.get(message.offset, 0), self._limits.max_deliver
        if limit is not None and count >= limit:
            self.give_up_on(message, count, "deliveries used up at an earlier owner", "")
            return True
        if count and self.alone(message.offset):
            self.fresh.suspect(message.offset)
        return False

    def _settle_holes(self, asked: int, after: int, offsets: Iterable[int], known: Collection[int]) -> None:
        """Settle what does not exist. What is known exists for those who have it, or will be looked for."""
        expected = asked
        for offset in sorted({*offsets, *known}) if known else offsets:
            if offset > expected:
                self.ledger.settle_range(expected, offset)
            expected = offset + 1
        if after > expected:
            self.ledger.settle_range(expected, after)

    def _overtake(self, after: int) -> set[int]:
        """The offsets below this that were handed over to us and stand somewhere; they are not asked for again."""
        places: tuple[Collection[int], ...] = (
            self.in_flight, self.sleepers, self.returned, self.delayed, self.spent
        )  # fmt: skip
        return {offset for offset in self._ahead.pass_by(after) if any(offset in place for place in places)}

    def _unknown(self, messages: Sequence[Message], known: Collection[int]) -> list[Message]:
        """Leave out what was handed over; of its keys, and of the time of those that clients have, take note."""
        unknown = []
        for message in messages:
            if message.offset not in known:
                unknown.append(message)
                continue
            if self.key_order is not None:
                self.key_order.is_out(message)
            run = self.in_flight.get(message.offset)
            held = run.message(message.offset) if run is not None else None
            if isinstance(held, Bodiless):
                held.timestamp = message.timestamp
        return unknown

    def log_starts_at(self, offset: int) -> int:
        """Retention has moved the start of the log: what lay below and was not fetched will never come.

        Returns:
            How many messages were lost to retention.
        """
        self.log_start = max(self.log_start, offset)
        if offset <= self.next_offset:
            return 0
        known = self._overtake(offset)
        lost = self.ledger.unsettled_in(self.next_offset, offset) - len(known)
        self._settle_holes(self.next_offset, offset, (), known)
        self.next_offset = offset
        return lost

    def expect(self, handed_over: HandedOver) -> list[int]:
        """The offsets of this that are to find a place before a fetch brings them; called before the first fetch only.

        One that has a place already is not among them.
        """
        places = (self.in_flight, self.sleepers)
        expected = [at for at in still_out(handed_over, self.ledger) if not any(at in place for place in places)]
        self._ahead.add(expected)
        return expected

    # Handing out -----------------------------------------------------------------------------------------------------

    def lay(self, lanes: Lanes) -> None:
        """Let messages that wait do so in these lanes from now on."""
        self._lanes = lanes
        self.fresh.lay(lanes)
        self.returned.lay(lanes)

    def alone(self, offset: int) -> bool:
        """Whether the next delivery of a message is to be the only one of its answer."""
        return self.ledger.delivery_count(offset) >= self._limits.alone_from

    def lease(self, run: LeaseRun) -> None:
        """Record that these messages are now under this lease."""
        self.in_flight.update(dict.fromkeys([message.offset for message in run.messages], run))

    # Coming back -----------------------------------------------------------------------------------------------------

    def give_back(self, message: Message, *, barred: str | None, until: float, group: str = "") -> None:
        """Make a message ready for the next client. ``group`` is that of the client which failed it, if one did.

        One that comes back as if it had never been handed out is for whom it was for before.
        """
        if not group:
            group = self._failed_by.get(message.offset, "")
        elif group != STABLE:
            self._failed_by[message.offset] = group
        else:
            self._failed_by.pop(message.offset, None)
        self.returned.add(Returned(message, barred, until, group), self._lanes.of_failed(message, group))
        self.on_returned(self.number)

    def give_up_on(self, message: Message, delivery_count: int, reason: str, client: str) -> None:
        """Nobody is to have this message again."""
        self.spent[message.offset] = Spent(self.number, self.ledger.era, message, delivery_count, reason, client)

    def put_to_sleep(self, message: Message, sleeper: Sleeper) -> None:
        """Let go of a message's body; it is read again when it is due."""
        self.sleepers.add(message.offset, sleeper)
        self.bytes_held -= size_of(message)

    def wake(self, offset: int, message: Message | None, now: float) -> bool:
        """A message that slept was read again, or looked for in vain; False if it exists no more: settle it."""
        sleeper = self.sleepers.awake(offset)
        if sleeper is None:
            return True  # settled while it was being read
        if message is None:
            # Of one that was never fetched the fetches will tell: if it is there after all, it is a fresh one.
            return offset >= self.next_offset
        self.bytes_held += size_of(message)
        if sleeper.given_up is not None:
            count = self.ledger.failures.get(offset, 0)
            self.give_up_on(message, count, sleeper.given_up, sleeper.failed_by or "")
        else:
            self.give_back(message, barred=sleeper.failed_by, until=max(now, sleeper.barred_until), group=sleeper.group)
        return True

    # The end ---------------------------------------------------------------------------------------------------------

    def settle(self, offsets: Sequence[int]) -> None:
        """These are done, ascending, and stand nowhere any more: whoever waited for one of them goes out."""
        self.ledger.settle(offsets)
        if self._failed_by:
            for offset in offsets:
                self._failed_by.pop(offset, None)
        if self.key_order is not None:
            for message in self.key_order.settled(offsets):
                if not self.ledger.failures or not self._used_up(message):
                    self.fresh.insert(message)

    def forget(self, offset: int) -> None:
        """A message that is to be settled and is not in flight needs no place any more."""
        self.sleepers.discard(offset)
        resting = self.delayed.pop(offset, None) or self.spent.pop(offset, None)
        message = resting.message if resting is not None else self.returned.discard(offset)
        message = message or self.fresh.discard(offset)
        if message is None and self.key_order is not None:
            message = self.key_order.discard(offset)
        if message is not None:
            self.bytes_held -= size_of(message)

    def clear(self) -> None:
        """Let go of all messages: whoever still refers to a partition that was dropped must not hold its bodies."""
        self.in_flight.clear()
        self.delayed.clear()
        self.sleepers = Sleepers()
        self.returned = Returns()
        self.spent.clear()
        self.fresh = Fresh(self._lanes)
        self.key_order = None if self.key_order is None else KeyOrder()
        self._ahead = Ahead()
        self.bytes_held = 0
