"""Settling on paper: `naive_queue` goes on here with what acks, nacks, extends and rejects do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fanout_app.core.requests import BatchRef, Entry, LeaseRef, Settle, Status, Verb
from properties.naive_queue import NaiveQueue, Place

REJECT_WAIT = 60.0


@dataclass(slots=True)
class Outcome:
    counts: Counter[str] = field(default_factory=Counter)
    results: list[tuple[str | LeaseRef, Status]] = field(default_factory=list)
    #: Partitions whose rows the answer has to wait for, with what was acked there.
    pending: Counter[int] = field(default_factory=Counter)
    #: Partition, offset, and when the lease would have ended.
    rejects: list[tuple[int, int, float]] = field(default_factory=list)


class NaiveSettlingQueue(NaiveQueue):
    """The whole queue."""

    def settle(self, settle: Settle, now: float) -> Outcome:
        outcome = Outcome()
        named: set[LeaseRef] = set()
        lists = ((Verb.EXTEND, settle.extend), (Verb.NACK, settle.nack), (Verb.REJECT, settle.reject))
        for verb, entries in (*lists, (Verb.ACK, settle.ack)):
            for entry in entries:
                if entry.ref is None:
                    outcome.results.append((entry.token, Status.LEASE_UNKNOWN))
                elif isinstance(entry.ref, BatchRef):
                    self._settle_batch(verb, entry, entry.ref, named, outcome, now)
                elif entry.ref not in named:
                    named.add(entry.ref)
                    self._settle_lease(verb, entry, entry.ref, outcome, now)
        return outcome

    def _settle_lease(self, verb: Verb, entry: Entry, ref: LeaseRef, outcome: Outcome, now: float) -> None:
        status = self._status(verb, ref, now)
        if status is Status.DONE:
            self._do(verb, entry, ref, outcome, now)
            return
        outcome.results.append((entry.token, status))
        if status is Status.LATE:
            self.counts["late"] += 1
            self.counts["acked"] += 1
            outcome.counts["acked"] += 1
            outcome.pending[ref.partition] += 1
            self._settled(ref.partition, ref.offset, now)
        elif status is Status.ALREADY_SETTLED:
            outcome.pending[ref.partition] += 0

    def _status(self, verb: Verb, ref: LeaseRef, now: float) -> Status:
        partition = self.partitions.get(ref.partition)
        if partition is None or ref.era > partition.era:
            return Status.RETRY
        if ref.era < partition.era:
            return Status.GONE
        if partition.is_settled(ref.offset):
            return Status.ALREADY_SETTLED
        if partition.suspended:
            return Status.RETRY
        if self.batch_lives(ref.batch) and ref not in self.batches[ref.batch].refs:
            return Status.LEASE_UNKNOWN
        held = self.held_under(ref)
        if held is not None and held.at > now:
            return Status.DONE
        return Status.LATE if verb is Verb.ACK else Status.LEASE_LOST

    def _settled(self, number: int, offset: int, now: float) -> None:
        partition = self.partitions[number]
        held = partition.held.get(offset)
        if held is not None and held.place is Place.IN_FLIGHT and held.client is not None:
            self.clients[held.client].seen = now
        partition.settle(offset)

    def _do(self, verb: Verb, entry: Entry, ref: LeaseRef, outcome: Outcome, now: float) -> None:
        partition = self.partitions[ref.partition]
        held = partition.held[ref.offset]
        assert held.client is not None
        client = self.clients[held.client]
        if verb is Verb.EXTEND:
            held.at = now + entry.ack_wait
            outcome.counts["extended"] += 1
            return
        client.in_vain = 0
        if verb is Verb.ACK:
            client.slowed = False
            client.in_doubt = False
            client.counts["acked"] += 1
            outcome.pending[ref.partition] += 1
            self._settled(ref.partition, ref.offset, now)
        elif verb is Verb.NACK:
            client.counts["nacked"] += 1
            delay = backoff(ref.delivery_count) if entry.delay is None else entry.delay
            self.fail(partition, ref.offset, now, delay)
        else:
            outcome.rejects.append((ref.partition, ref.offset, held.at))
            held.at = now + REJECT_WAIT
            return
        self.counts[verb.value + "ed"] += 1
        outcome.counts[verb.value + "ed"] += 1

    def not_rejected(self, number: int, offset: int, lease_end: float) -> None:
        """A rejected message has not reached its topic: as if it had not been rejected."""
        held = self.partitions[number].held.get(offset)
        if held is not None:  # else an ack in the same body has settled it
            held.at = lease_end

    def rejected(self, number: int, offset: int, now: float) -> None:
        """A rejected message has reached its topic."""
        if not self.partitions[number].is_settled(offset):
            self._settled(number, offset, now)
            self.counts["rejected"] += 1

    def _settle_batch(
        self, verb: Verb, entry: Entry, ref: BatchRef, named: set[LeaseRef], outcome: Outcome, now: float
    ) -> None:
        partition = self.partitions.get(ref.partition)
        if partition is None or partition.suspended:
            outcome.results.append((entry.token, Status.RETRY))
            return
        if not self.batch_lives(ref.batch):
            if ref.batch not in self.acked_whole:
                outcome.results.append((entry.token, Status.LEASE_LOST))
                return
            outcome.results.append((entry.token, Status.ALREADY_SETTLED))
            outcome.pending.update({one.partition: 0 for one in self.batches[ref.batch].refs})
            return
        whole = True
        for one in self.batches[ref.batch].refs:
            owner = self.partitions.get(one.partition)
            held = self.held_in_answer(one)
            if owner is not None and owner.era == one.era and owner.is_settled(one.offset):
                continue
            if owner is not None and owner.suspended:
                outcome.results.append((one, Status.RETRY))
                whole = False
            elif held is None or held.at <= now or one in named:
                outcome.results.append((one, Status.NOT_IN_BATCH))
                whole = False
            else:
                self._do(verb, entry, one, outcome, now)
                if verb is not Verb.ACK:
                    named.add(one)
        if verb is Verb.ACK and whole:
            self.acked_whole.add(ref.batch)


def backoff(delivery_count: int) -> float:
    """That of the machine: a quarter of a second from the second failure on, doubling up to two seconds."""
    return 0.0 if delivery_count == 1 else min(2.0, 0.25 * 2 ** (delivery_count - 2))
