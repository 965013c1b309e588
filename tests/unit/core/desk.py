"""A dispatcher with a clock to turn, and short words for what clients and Kafka do to it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.lease import Answer
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.partition import PartitionQueue
from fanout_app.core.requests import BatchRef, Entry, LeaseRef, Pull, Settle, SettleOutcome, Status, Verb
from fanout_app.core.resting import Resting
from fanout_app.core.settling import Settling
from support.messages import messages

#: Seconds; longer than any test waits unless it wants to see the end of a lease.
ACK_WAIT = 30.0


class Desk:
    """Partition 0 is there from the start, at offset 0, unless a ledger says otherwise."""

    def __init__(
        self, ledger: LedgerSnapshot | None = None, limits: Limits | None = None, *, in_a_row: int = 1
    ) -> None:
        self.now = 0.0
        self.queue = Dispatcher(limits or Limits(), new_batch=count(1).__next__, jitter=lambda: 0.0, in_a_row=in_a_row)
        self.resting = Resting(self.queue)
        self.answers: dict[int, Answer] = {}
        self.settling: Settling
        self.assign(0, ledger)

    def assign(self, number: int, ledger: LedgerSnapshot | None = None) -> PartitionQueue:
        return self.queue.assign(number, ledger or LedgerSnapshot())

    def __getitem__(self, number: int) -> PartitionQueue:
        return self.queue.partitions[number]

    def fetch(self, *offsets: int, number: int = 0, after: int | None = None, size: int = 1) -> None:
        """Take a fetch that goes on where the last one ended; what lies between these offsets does not exist."""
        asked = self[number].next_offset
        after = max(offsets, default=asked - 1) + 1 if after is None else after
        assert self.queue.offer(number, asked, after, messages(offsets, size=size))

    def wait(self, client: str, n: int = 1, *, group: str = "stable", max_bytes: int = 1 << 20,
             ack_wait: float = ACK_WAIT, anonymous: bool = False) -> int:  # fmt: skip
        pull = Pull(client=client, group=group, max_messages=n, max_bytes=max_bytes, ack_wait=ack_wait)
        return self.queue.add_pull(self.now, pull, anonymous=anonymous)

    def serve(self) -> list[tuple[str, list[int]]]:
        """Who gets which offsets, in this order."""
        handouts = self.queue.serve(self.now)
        self.answers.update(handouts)
        return [(answer.client, offsets(answer)) for _, answer in handouts]

    def pull(self, client: str, n: int = 1, *, ack_wait: float = ACK_WAIT) -> Answer:
        """A pull that must be answered at once."""
        number = self.wait(client, n, ack_wait=ack_wait)
        self.serve()
        return self.answers.pop(number)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, from deadline to deadline as the runtime would."""
        end = self.now + seconds
        while (at := self.queue.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.queue.expire(self.now)
        self.now = end

    def settle(self, verb: Verb, *entries: Entry) -> SettleOutcome:
        return self.settle_all(Settle(**{verb.value: entries}))  # type: ignore[arg-type]

    def settle_all(self, settle: Settle) -> SettleOutcome:
        self.settling = Settling(self.queue, self.now)
        return self.settling.run(settle)

    def ack(self, *refs: LeaseRef | BatchRef) -> list[Status]:
        """The statuses that an ack of these brings, one after the other."""
        return [status_of(self.settle(Verb.ACK, entry(ref))) for ref in refs]

    def nack(self, ref: LeaseRef | BatchRef, delay: float | None = 0.0) -> Status:
        return status_of(self.settle(Verb.NACK, entry(ref, delay=delay)))


def entry(ref: LeaseRef | BatchRef | None, *, delay: float | None = None, ack_wait: float = ACK_WAIT) -> Entry:
    return Entry(token=f"token of {ref}", ref=ref, delay=delay, ack_wait=ack_wait)


def status_of(outcome: SettleOutcome) -> Status:
    """The one status of a settle with one lease in it."""
    statuses = [status for _, status in outcome.results] or [Status.DONE]
    assert len(statuses) == 1
    return statuses[0]


def offsets(answer: Answer) -> list[int]:
    return [message.offset for run in answer.runs for message in run.messages]


def leases(answer: Answer) -> list[LeaseRef]:
    return [
        LeaseRef(run.partition, run.era, message.offset, run.delivery_count, answer.batch)
        for run in answer.runs
        for message in run.messages
    ]


def lease(answer: Answer) -> LeaseRef:
    (only,) = leases(answer)
    return only


def batch(answer: Answer) -> BatchRef:
    return BatchRef(answer.runs[0].partition, answer.batch)


def ledger(floor: int, *settled: int, era: int = 0, failures: Iterable[tuple[int, int]] = ()) -> LedgerSnapshot:
    return LedgerSnapshot(era=era, floor=floor, settled=frozenset(settled), failures=dict(failures))
