"""Settling: what an ack, nack, extend or reject does, by the state its lease is in.

The cases are looked at in the order of `Case`; `TABLE` says what each of them answers, and is the table of
`docs/api.md`, which a test compares with this one.
"""

from __future__ import annotations

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


#: Seconds a rejected message stays leased while it is being put away, if nobody ever says how that went.
REJECT_WAIT = 60.0


class Pending:
    """What of a settle hangs on one partition's ledger: done once a row of ``version`` or later is in the changelog."""

    __slots__ = ("acked", "rejected", "tokens", "version")

    def __init__(self) -> None:
        self.version = 0
        self.acked = 0
        self.rejected = 0
        self.tokens: list[str] = []


class Settling:
    """One settle body being worked off. Made for one call of `run`."""

    def __init__(self, dispatcher: Dispatcher, now: float) -> None:
        self._dispatcher = dispatcher
        self._leases = dispatcher.leases
        self._now = now
        self._named: set[LeaseRef] = set()
        self.outcome = SettleOutcome()
        self.pending: dict[int, Pending] = {}
        #: Rejected messages: they stay leased until the runtime has put them where rejected ones go.
        self.rejects: list[tuple[Entry, LeaseRun]] = []
        #: By their runs: when their leases would have ended, and when they end for the time being.
        self._reject_ends: dict[LeaseRun, tuple[float, float]] = {}

    def run(self, settle: Settle) -> SettleOutcome:
        for verb, entries in (
            (Verb.EXTEND, settle.extend),
            (Verb.NACK, settle.nack),
            (Verb.REJECT, settle.reject),
            (Verb.ACK, settle.ack),
        ):
            for entry in entries:
                if entry.ref is None:
                    self.outcome.results.append((entry.token, TABLE[Case.UNKNOWN][verb]))
                elif isinstance(entry.ref, BatchRef):
                    self._batch(verb, entry, entry.ref)
                else:
                    self._lease(verb, entry, entry.ref)
        return self.outcome

    def rejected(self, entry: Entry, run: LeaseRun, offset: int) -> None:
        """A rejected message has been put where rejected ones go: settle it, whoever may have it by now.

        That took a while. Whoever has its partition by now hands it out again, and is to be asked once more.
        """
        partition = self._dispatcher.partitions.get(run.partition)
        if partition is None or partition.ledger.era != run.era:
            era_is_over = partition is not None and partition.ledger.era > run.era
            case = Case.OLD_ERA if era_is_over else Case.MOVING
            self.outcome.results.append((entry.token, TABLE[case][Verb.REJECT]))
        elif partition.ledger.is_settled(offset):
            self.outcome.results.append((entry.token, TABLE[Case.SETTLED][Verb.REJECT]))
            self._hangs_on(entry, run.partition)
        else:
            self._leases.settle_one(run.partition, offset, self._now)
            self.outcome.rejected += 1
            self._leases.counters.rejected += 1
            self._hangs_on(entry, run.partition, rejected=1)

    def not_rejected(self, entry: Entry, run: LeaseRun, now: float) -> None:
        """A rejected message could not be put away: its client holds it for as long as without the reject."""
        self.outcome.results.append((entry.token, Status.RETRY))
        before, meanwhile = self._reject_ends[run]
        messages = self._leases.live_messages(run)
        if messages and run.deadline == meanwhile:
            self._leases.extend(run, messages, max(0.0, before - now), now)

    def _lease(self, verb: Verb, entry: Entry, ref: LeaseRef) -> None:
        if ref in self._named:
            return
        self._named.add(ref)
        case, run = case_of(self._dispatcher, ref, self._now)
        status = TABLE[case][verb]
        if status is Status.DONE and run is not None:
            self._do(verb, entry, run, [run.message(ref.offset)])
            return
        self.outcome.results.append((entry.token, status))
        if status is Status.LATE:
            self._leases.counters.late += 1
            self._leases.settle_one(ref.partition, ref.offset, self._now)
            self._acked(entry, ref.partition, 1)
        elif status is Status.ALREADY_SETTLED:
            self._hangs_on(entry, ref.partition)

    def _do(self, verb: Verb, entry: Entry, run: LeaseRun, messages: list[Message]) -> None:
        """Do it to live leases of one run. Acks of whole runs are the hot path."""
        leases = self._leases
        leases.shown(run)
        clients = self._dispatcher.clients
        client = clients[run.client]
        if verb is Verb.ACK:
            clients.acked(client, len(messages))
            leases.windows.acked(run.group, self._now - run.delivered_at, len(messages), self._now)
            leases.settle_leased(run, messages, self._now)
            self._acked(entry, run.partition, len(messages))
        elif verb is Verb.NACK:
            clients.nacked(client, len(messages))
            leases.fail(run, messages, self._now, entry.delay, entry.reason)
            self.outcome.nacked += len(messages)
            leases.counters.nacked += len(messages)
        elif verb is Verb.EXTEND:
            leases.extend(run, messages, entry.ack_wait, self._now)
            self.outcome.extended += len(messages)
        else:
            clients.worked(client)
            leases.windows.nacked(run.group, len(messages), self._now)
            for message in messages:
                ends = run.deadline
                single = leases.split(run, message.offset, REJECT_WAIT, self._now)
                self.rejects.append((entry, single))
                self._reject_ends[single] = (ends, single.deadline)

    # A batch ---------------------------------------------------------------------------------------------------------

    def _batch(self, verb: Verb, entry: Entry, ref: BatchRef) -> None:
        leases = self._leases
        partition = self._dispatcher.partitions.get(ref.partition)
        answer = leases.answers.get(ref.batch)
        if partition is None or partition.suspended:
            self.outcome.results.append((entry.token, Status.RETRY))
        elif answer is not None:
            parts = [(run, self._for_batch(run)) for run in (*answer.runs, *answer.splits)]
            lost = self._not_in_batch(answer, parts)
            self.outcome.results.extend(lost)
            for run, messages in parts:
                if messages:
                    self._do(verb, entry, run, messages)
                if verb is not Verb.ACK:
                    self._named.update(_ref(run, message) for message in messages)
            if verb is Verb.ACK and not lost:
                leases.acked_batches.add(answer)
        elif numbers := leases.acked_batches.partitions_of(ref.batch):
            self.outcome.results.append((entry.token, Status.ALREADY_SETTLED))
            for number in numbers:
                self._hangs_on(entry, number)
        else:
            self.outcome.results.append((entry.token, Status.LEASE_LOST))

    def _for_batch(self, run: LeaseRun) -> list[Message]:
        """What of a run its batch settles: the live leases that were not named by themselves."""
        partition = self._dispatcher.partitions.get(run.partition)
        if partition is None or partition.suspended or run.deadline <= self._now:
            return []
        messages = self._leases.live_messages(run)
        if self._named:
            messages = [message for message in messages if _ref(run, message) not in self._named]
        return messages

    def _not_in_batch(
        self, answer: Answer, parts: list[tuple[LeaseRun, list[Message]]]
    ) -> list[tuple[LeaseRef, Status]]:
        """What was handed out with this batch, is not settled and not for it to settle: nacked, expired, re-leased."""
        if sum(len(messages) for _, messages in parts) == len(answer):
            return []
        for_batch = {(run.partition, message.offset) for run, messages in parts for message in messages}
        lost: list[tuple[LeaseRef, Status]] = []
        for run in answer.runs:
            partition = self._dispatcher.partitions.get(run.partition)
            # One that was dropped and came back, maybe in a later era, does not hold this batch any more.
            ledger = partition.ledger if partition is not None and partition.ledger.era == run.era else None
            status = Status.RETRY if partition is not None and partition.suspended else Status.NOT_IN_BATCH
            for message in run.messages:
                settled = ledger is not None and ledger.is_settled(message.offset)
                if not settled and (run.partition, message.offset) not in for_batch:
                    lost.append((_ref(run, message), status))
        return lost

    # What the answer hangs on ----------------------------------------------------------------------------------------

    def _acked(self, entry: Entry, partition: int, count: int) -> None:
        self.outcome.acked += count
        self._leases.counters.acked += count
        self._hangs_on(entry, partition, acked=count)

    def _hangs_on(self, entry: Entry, partition: int, *, acked: int = 0, rejected: int = 0) -> None:
        pending = self.pending.get(partition)
        if pending is None:
            pending = self.pending[partition] = Pending()
        pending.version = self._dispatcher.partitions[partition].ledger.version
        pending.acked += acked
        pending.rejected += rejected
        if pending.tokens[-1:] != [entry.token]:
            pending.tokens.append(entry.token)


def case_of(dispatcher: Dispatcher, ref: LeaseRef | None, now: float) -> tuple[Case, LeaseRun | None]:
    """Where the message of a token stands, and the lease it is under now, whoever holds that."""
    if ref is None:
        return Case.UNKNOWN, None
    partition = dispatcher.partitions.get(ref.partition)
    if partition is None:
        return Case.MOVING, None
    ledger = partition.ledger
    if ref.era < ledger.era:
        return Case.OLD_ERA, None
    if ref.era == ledger.era and ledger.is_settled(ref.offset):
        return Case.SETTLED, None
    if ref.era == ledger.era and partition.next_offset <= ref.offset < partition.log_start:
        return Case.BELOW_LOG, None
    if ref.era > ledger.era or partition.suspended:
        # A later era than ours: somebody else owned the partition meanwhile, and we do not know it yet.
        return Case.MOVING, None
    run = partition.in_flight.get(ref.offset)
    if run is not None and (run.batch, run.delivery_count) == (ref.batch, ref.delivery_count):
        return (Case.LIVE if run.deadline > now else Case.ENDED), run
    answer = dispatcher.answers.get(ref.batch)
    if answer is not None and not answer.holds(ref.partition, ref.offset, ref.delivery_count):
        # One MAC covers all offsets of an answer: this one lies among them and was not handed out with them.
        return Case.UNKNOWN, None
    return Case.ENDED, run


def _ref(run: LeaseRun, message: Message) -> LeaseRef:
    return LeaseRef(run.partition, run.era, message.offset, run.delivery_count, run.batch)
