"""What always holds between the queue and the one on paper, whatever the machine did."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple

from hypothesis.stateful import invariant

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.requests import Pull
from properties.machine_parts import naive_places_of, places_of
from properties.naive_queue import ALONE_FROM, Place
from properties.naive_resting import NaiveWholeQueue


class Checks:
    """The invariants of the machine."""

    queue: Dispatcher
    naive: NaiveWholeQueue
    now: float
    #: When the timer rang last.
    expired_at: float
    #: When messages that had slept were read, since then.
    read_at: set[float]

    @invariant()
    def partitions_agree(self) -> None:
        assert self.queue.partitions.keys() == self.naive.partitions.keys()
        for number, partition in self.queue.partitions.items():
            naive = self.naive.partitions[number]
            ledger = partition.ledger
            assert places_of(partition) == naive_places_of(naive)
            assert ledger.floor == naive.floor()
            assert list(ledger.settled) == sorted(o for o in naive.settled if o > ledger.floor)
            assert ledger.failures == naive.failures
            assert partition.next_offset == naive.next_offset
            fetched = {o for o in range(naive.start, naive.next_offset) if not naive.is_settled(o)}
            assert {o for o in naive.held if o < naive.next_offset} == fetched
            assert partition.fresh._suspects == {
                o for o in naive.at(Place.FRESH) if naive.failures.get(o, 0) + 1 >= ALONE_FROM
            }
            in_memory = naive.in_memory()
            assert partition.held == len(in_memory)
            oldest = partition.oldest_held()
            assert (oldest.offset if oldest else None) == min(in_memory, default=None)
            assert partition.bytes_held == sum(held.weight() for held in in_memory.values())

    @invariant()
    def leases_agree(self) -> None:
        live: Counter[int] = Counter()
        for partition in self.queue.partitions.values():
            naive = self.naive.partitions[partition.number]
            for offset, run in partition.in_flight.items():
                held = naive.held[offset]
                assert (run.batch, run.client, run.deadline) == (held.batch, held.client, held.at)
                assert run.delivery_count == 1 + naive.failures.get(offset, 0)
                assert run.handed_over == held.bodiless
                if not run.handed_over:
                    live[run.batch] += 1
        assert {batch: answer.live for batch, answer in self.queue.answers.items()} == live

    @invariant()
    def clients_agree(self) -> None:
        clients = self.queue.clients
        assert clients.in_flight == sum(len(partition.in_flight) for partition in self.queue.partitions.values())
        assert clients.waiting == len(self.naive.pulls)
        for name, naive in self.naive.clients.items():
            if self.naive.alive(naive, self.now):
                client = clients[name]
                assert (client.in_flight, client.waiting) == (self.naive.held_by(name), len(self.naive.waits(name)))
                counted = Counter({what: getattr(client, what) for what in ("delivered", "acked", "nacked", "expired")})
                assert +counted == +naive.counts
                assert (client.slowed, client.in_doubt) == (naive.slowed, naive.in_doubt)
        counters = self.queue.counters
        assert {what: getattr(counters, what) for what in self.naive.counts} == self.naive.counts
        assert sum(astuple(counters)) == sum(self.naive.counts.values())

    @invariant()
    def intake_agrees(self) -> None:
        for number in self.naive.partitions:
            assert self.queue.wants(number, self.now) == self.naive.wants(number, self.now)

    @invariant()
    def reasons_agree(self) -> None:
        for client, group in (("A", "stable"), ("B", "canary"), ("nobody", "stable")):
            pull = Pull(client=client, group=group)
            assert self.queue.why_empty(pull, self.now) is self.naive.why_empty(pull, self.now)

    @invariant()
    def nothing_is_overslept(self) -> None:
        due = [
            held.at
            for partition in self.naive.partitions.values()
            for held in partition.held.values()
            if (held.client is not None or held.place is Place.ASLEEP)
            and held.place not in (Place.FRESH, Place.SPENT)
            and held.at > self.expired_at
            # Read when its time was long up: whoever reads it looks at once who may have it.
            and not (held.place is Place.RETURNED and held.at in self.read_at)
        ]
        if due:
            woken = self.queue.next_deadline()
            assert woken is not None
            assert woken <= min(due)
