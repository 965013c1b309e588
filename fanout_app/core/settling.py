"""Settling: what an ack, nack, extend or reject does, by the state its lease is in.

The cases are looked at in the order of `Case`; `TABLE` says what each of them answers, and is the table of
`docs/api.md`, which a test compares with this one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.message import Message
from fanout_app.core.requests import BatchRef, Entry, LeaseRef, Settle, SettleOutcome, Status, Verb


class Case(Enum):
    """Where the message of a token stands, in the order in which it is looked at."""

    UNKNOWN = "token forged, damaged, or of another id and topic"
    OLD_ERA = "token of an older era"
    SETTLED = "message settled already, or below the floor"
    BELOW_LOG = "below the log's start"
    MOVING = "partition moving or ledger recovering"
    LIVE = "live lease"
    ENDED = "the lease ended"


_EVERY = dict.fromkeys
TABLE: dict[Case, dict[Verb, Status]] = {
    Case.UNKNOWN: _EVERY(Verb, Status.LEASE_UNKNOWN),
    Case.OLD_ERA: _EVERY(Verb, Status.GONE),
    Case.SETTLED: _EVERY(Verb, Status.ALREADY_SETTLED),
    Case.BELOW_LOG: _EVERY(Verb, Status.GONE),
    Case.MOVING: _EVERY(Verb, Status.RETRY),
    Case.LIVE: _EVERY(Verb, Status.DONE),
    Case.ENDED: {**_EVERY(Verb, Status.LEASE_LOST), Verb.ACK: Status.LATE},
}


#: Seconds a rejected message stays leased while it is being put away; after that it is handed out again.
REJECT_WAIT = 60.0


@dataclass(slots=True)
class Pending:
    """What of a settle hangs on one partition's ledger: done once a row of ``version`` or later is in the changelog."""

    version: int = 0
    acked: int = 0
    tokens: list[str] = field(default_factory=list)


class Settling:
    """One settle body being worked off. Made for one call of `run`."""

    def __init__(self, dispatcher: Dispatcher, now: float) -> None:
        self._dispatcher = dispatcher
        self._now = now
        self._named: set[tuple[int, int]] = set()
        self.outcome = SettleOutcome()
        self.pending: dict[int, Pending] = {}
        #: Rejected messages: they stay leased until the runtime has put them where rejected ones go.
        self.rejects: list[tuple[Entry, LeaseRun]] = []

    def run(self, settle: Settle) -> SettleOutcome:
        for verb, entries in (
            (Verb.EXTEND, settle.extend),
            (Verb.NACK, settle.nack),
            (Verb.REJECT, settle.reject),
            (Verb.ACK, settle.ack),
        ):
            for entry in entries:
                if isinstance(entry.ref, BatchRef):
                    self._batch(verb, entry, entry.ref)
                else:
                    self._lease(verb, entry, entry.ref)
        return self.outcome

    # One lease -------------------------------------------------------------------------------------------------------

    def _lease(self, verb: Verb, entry: Entry, ref: LeaseRef | None) -> None:
        if ref is not None:
            name = (ref.partition, ref.offset)
            if name in self._named:
                return
            self._named.add(name)
        case, run = case_of(self._dispatcher, ref, self._now)
        status = TABLE[case][verb]
        if ref is not None:
            if status in (Status.DONE, Status.LATE):
                self._apply(verb, entry, ref.partition, ref.offset, run)
            elif status is Status.ALREADY_SETTLED:
                self._hangs_on(entry, ref.partition, 0)
        if status is not Status.DONE:
            self.outcome.results.append((entry.token, status))
        self._dispatcher.counters.late += status is Status.LATE

    def _apply(self, verb: Verb, entry: Entry, partition: int, offset: int, run: LeaseRun | None) -> None:
        if verb is Verb.ACK:
            self._ack(entry, partition, offset, run)
            return
        assert run is not None  # only an ack is done without a live lease
        if verb is Verb.EXTEND:
            self._dispatcher.split(run, offset, entry.ack_wait, self._now)
            self.outcome.extended += 1
        elif verb is Verb.NACK:
            client = self._dispatcher.clients.get(run.client)
            if client is not None:
                client.nacked += 1
            self._dispatcher.fail(run, offset, self._now, entry.delay)
            self.outcome.nacked += 1
            self._dispatcher.counters.nacked += 1
        else:
            self.rejects.append((entry, self._dispatcher.split(run, offset, REJECT_WAIT, self._now)))

    def _ack(self, entry: Entry, number: int, offset: int, run: LeaseRun | None) -> None:
        partition = self._dispatcher.partitions[number]
        if run is None:
            partition.forget(offset)
        else:
            # A late ack ends the lease of who has the message now: the work is done, by whomever.
            client = self._dispatcher.clients.get(run.client)
            if client is not None:
                client.acked += 1
            self._dispatcher.end_lease(run, offset, self._now)
        partition.ledger.settle((offset,))
        self._acked(entry, number, 1)

    def rejected(self, entry: Entry, run: LeaseRun, offset: int) -> None:
        """A rejected message has been put where rejected ones go: settle it, whoever may have it by now."""
        partition = self._dispatcher.partitions.get(run.partition)
        if partition is None or partition.ledger.era != run.era or partition.ledger.is_settled(offset):
            return
        holder = partition.in_flight.get(offset)
        if holder is None:
            partition.forget(offset)
        else:
            self._dispatcher.end_lease(holder, offset, self._now)
        partition.ledger.settle((offset,))
        self.outcome.rejected += 1
        self._dispatcher.counters.rejected += 1
        self._hangs_on(entry, run.partition, 0)

    # A batch ---------------------------------------------------------------------------------------------------------

    def _batch(self, verb: Verb, entry: Entry, ref: BatchRef) -> None:
        dispatcher = self._dispatcher
        partition = dispatcher.partitions.get(ref.partition)
        if partition is None or partition.suspended:
            self.outcome.results.append((entry.token, Status.RETRY))
            return
        answer = dispatcher.answers.get(ref.batch)
        if answer is None:
            if ref.batch in dispatcher.acked_batches:
                self.outcome.results.append((entry.token, Status.ALREADY_SETTLED))
                self._hangs_on(entry, ref.partition, 0)
            else:
                self.outcome.results.append((entry.token, Status.LEASE_LOST))
            return
        self.outcome.results.extend((lost, Status.NOT_IN_BATCH) for lost in self._not_in_batch(answer))
        for run in (*answer.runs, *answer.splits):
            messages = dispatcher.live_messages(run)
            if self._named:
                messages = [message for message in messages if (run.partition, message.offset) not in self._named]
            if messages and verb is Verb.ACK:
                self._ack_run(entry, run, messages)
            else:
                for message in messages:
                    self._apply(verb, entry, run.partition, message.offset, run)
        if verb is Verb.ACK:
            dispatcher.remember_acked(ref.batch)

    def _ack_run(self, entry: Entry, run: LeaseRun, messages: list[Message]) -> None:
        """The hot path: a run of offsets settled at one go."""
        client = self._dispatcher.clients.get(run.client)
        if client is not None:
            client.acked += len(messages)
        offsets = [message.offset for message in messages]
        self._dispatcher.end_leases(run, messages, self._now)
        self._dispatcher.partitions[run.partition].ledger.settle(offsets)
        self._acked(entry, run.partition, len(offsets))

    def _not_in_batch(self, answer: Answer) -> list[LeaseRef]:
        """What was handed out with this batch and is not for it to settle: nacked, expired, re-leased, named above."""
        lost: list[LeaseRef] = []
        for run in answer.runs:
            if run.live == len(run.messages) and not self._named:
                continue
            partition = self._dispatcher.partitions[run.partition]
            for message in run.messages:
                offset = message.offset
                holder = partition.in_flight.get(offset)
                held = holder is not None and holder.batch == answer.batch
                named = (run.partition, offset) in self._named
                if (named or not held) and not partition.ledger.is_settled(offset):
                    lost.append(LeaseRef(run.partition, run.era, offset, run.delivery_count, run.batch))
        return lost

    # What the answer hangs on ----------------------------------------------------------------------------------------

    def _acked(self, entry: Entry, partition: int, count: int) -> None:
        self.outcome.acked += count
        self._dispatcher.counters.acked += count
        self._hangs_on(entry, partition, count)

    def _hangs_on(self, entry: Entry, partition: int, acked: int) -> None:
        pending = self.pending.setdefault(partition, Pending())
        pending.version = self._dispatcher.partitions[partition].ledger.version
        pending.acked += acked
        pending.tokens.append(entry.token)


def case_of(dispatcher: Dispatcher, ref: LeaseRef | None, now: float) -> tuple[Case, LeaseRun | None]:
    """Where the message of a token stands, and the lease it is under now, whoever holds that."""
    if ref is None:
        return Case.UNKNOWN, None
    partition = dispatcher.partitions.get(ref.partition)
    if partition is None or partition.suspended:
        return Case.MOVING, None
    ledger = partition.ledger
    if ref.era != ledger.era:
        # A later era than ours: somebody else owned the partition meanwhile, and we do not know it yet.
        return (Case.OLD_ERA if ref.era < ledger.era else Case.MOVING), None
    if ledger.is_settled(ref.offset):
        return Case.SETTLED, None
    run = partition.in_flight.get(ref.offset)
    if run is None and ref.offset < partition.log_start:
        return Case.BELOW_LOG, None
    if run is not None and run.batch == ref.batch and run.deadline > now:
        return Case.LIVE, run
    return Case.ENDED, run
