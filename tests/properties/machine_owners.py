"""The changelog of the machine, and what one owner leaves to the next one in it."""

from __future__ import annotations

from collections.abc import Iterable

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.ledger_row import decode_row, encode_row
from properties.machine_parts import GENERATIONS, Durable, Left, Written
from properties.naive_queue import Held, NaiveClient, Place
from properties.naive_resting import NaiveWholeQueue


class Owners:
    """Rows as they are written and read back."""

    queue: Dispatcher
    naive: NaiveWholeQueue
    now: float
    generation: int
    changelog: dict[tuple[int, int], Written]
    durable: dict[int, Durable]

    def _row(self, number: int, *, last: bool = False) -> Written:
        naive = self.naive.partitions[number]
        snapshot = self.queue.partitions[number].snapshot()
        handed_over: dict[int, tuple[Left, float]] = {}
        if last:
            snapshot, left_out = self.queue.last_snapshot(number, self.now)
            room = self.queue.partitions[number].row_bytes == 0
            handed_over = self._left_naively(number) if room else {}
            assert bool(left_out) == (not room and bool(self._left_naively(number)))
        row = encode_row(snapshot, id="i", topic="t", generation=self.generation, counter=0)
        assert decode_row(row, id="i", topic="t").floor == naive.floor()
        witness = naive.latest_witness()
        assert [one.offset for one in snapshot.witnesses[-1:]] == ([] if witness is None else [witness])
        return Written(
            row,
            self.generation,
            naive.era,
            frozenset(naive.settled),
            dict(naive.failures),
            witness,
            naive.tenure,
            handed_over,
        )

    def _left_naively(self, number: int) -> dict[int, tuple[Left, float]]:
        """Every message that somebody has, or whose delay is not over."""
        partition = self.naive.partitions[number]
        left = {}
        for offset, held in partition.held.items():
            if held.at <= self.now or held.place not in (Place.IN_FLIGHT, Place.DELAYED, Place.ASLEEP):
                continue
            leased = held.place is Place.IN_FLIGHT
            named = leased and self.naive.clients[held.client or ""].named
            count = partition.failures.get(offset, 0) + 1
            one = Left(held.size, held.client, held.group, named, held.batch if leased else None, count)
            left[offset] = one, held.at - self.now
        return left

    def _arrives(self, number: int, written: Written) -> None:
        self.changelog[number, written.generation % GENERATIONS] = written
        durable = self.durable[number]
        if written.era == durable.era:
            durable.settled |= written.settled
            for offset, count in written.failures.items():
                durable.failures[offset] = max(count, durable.failures.get(offset, 0))
            for offset in durable.settled & durable.failures.keys():
                del durable.failures[offset]
            if durable.witness is None or (written.witness is not None and written.witness > durable.witness):
                durable.witness = written.witness

    def last_rows(self, numbers: Iterable[int]) -> None:
        """A rebalance begins, or the worker is told to stop: the next owners are left what they need to know."""
        for number in numbers:
            self._arrives(number, self._row(number, last=True))
        self.generation += 1

    def naive_takes_over(self, number: int) -> None:
        """What the rows of the latest owner of this era say of messages that are neither settled nor failed since."""
        partition = self.naive.partitions[number]
        rows = [row for (one, _), row in self.changelog.items() if one == number and row.era == partition.era]
        latest = max((row.tenure for row in rows), default=0)
        partition.tenure = latest + 1
        left_over = [one for row in rows if row.tenure == latest for one in row.handed_over.items()]
        # A client that has leases of two groups is of that whose lease lasts longest.
        for offset, (left, seconds) in sorted(left_over, key=lambda one: (-one[1][1], one[0])):
            counted = partition.failures.get(offset, 0) + 1
            if partition.is_settled(offset) or left.delivery_count != counted:
                continue
            at = self.now + seconds
            failed_in = left.group if left.batch is None else ""
            held = partition.held[offset] = Held(
                left.size, client=left.client, group=left.group, failed_in=failed_in, at=at, bodiless=True
            )
            if left.batch is None:
                self.naive.fall_asleep(held, at, at)
                continue
            known = self.naive.clients.get(left.client or "")
            if left.client is not None and (known is None or not self.naive.alive(known, self.now)):
                self.naive.clients[left.client] = NaiveClient(left.client, left.named, self.now, left.group)
            held.place, held.batch = Place.IN_FLIGHT, left.batch
