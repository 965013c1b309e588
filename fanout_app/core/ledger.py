"""The record of what is settled in one partition: a floor, and the settled offsets above it.

Rules for this file: inside an era settling only moves forward, so joining two records of one era is the larger floor
and the union of the rest, and a stale record costs a duplicate at worst, never a loss. A higher era wins whole.
The floor is an offset to read next, as Kafka's committed offsets are: there is no "+ 1" outside this file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyroaring import BitMap64

from fanout_app.core.lease import HandedOver
from fanout_app.core.witness import Witness, thinned


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSnapshot:
    """A ledger at one moment, as rows keep it. Holds no message bodies."""

    era: int = 0
    floor: int = 0
    #: Settled offsets above the floor.
    settled: frozenset[int] | BitMap64 = field(default_factory=frozenset)
    #: Offset -> how many deliveries of it ended badly; the next one's count is one more.
    failures: Mapping[int, int] = field(default_factory=dict)
    #: The last offset known to be committed to the consumer group, None before the first commit. What a row says of it
    #: is for whoever looks at rows: a start asks the group.
    committed: int | None = None
    #: Records seen below the floor, ascending: others in their place later mean that the topic was made anew.
    witnesses: tuple[Witness, ...] = ()
    #: The id of the topic whose log it is; empty where the broker gives none. Made anew, a topic has another one.
    topic_id: bytes = b""
    #: Counts the owners of the partition: each one's is higher than that of all rows it has read.
    tenure: int = 0
    #: Whether all groups that are to begin with the partition have ledgers of their own in it; see `Opening`.
    opened: bool = False
    #: What the last row of an owner leaves to the next one to hold back; other rows have none.
    handed_over: tuple[HandedOver, ...] = ()


class PartitionLedger:
    """What is settled in one partition, and how often the rest was delivered in vain.

    ``version`` counts changes that must not be forgotten: a settle is durable when a row of its version or later is.
    """

    __slots__ = (
        "committed",
        "era",
        "failures",
        "floor",
        "opened",
        "settled",
        "tenure",
        "topic_id",
        "version",
        "witnesses",
    )

    def __init__(self, snapshot: LedgerSnapshot | None = None) -> None:
        start = snapshot or LedgerSnapshot()
        self.era = start.era
        self.floor = start.floor
        self.settled = BitMap64(start.settled)
        self.failures: dict[int, int] = dict(start.failures)
        self.committed = start.committed
        self.witnesses = start.witnesses
        self.topic_id = start.topic_id
        self.tenure = start.tenure
        self.opened = start.opened
        self.version = 0
        self._advance()

    def __repr__(self) -> str:
        return f"<PartitionLedger era={self.era} floor={self.floor} above={len(self.settled)} version={self.version}>"

    def is_settled(self, offset: int) -> bool:
        return offset < self.floor or offset in self.settled

    def unsettled_in(self, start: int, stop: int) -> int:
        """How many offsets in [start, stop) are not settled."""
        start = max(start, self.floor)
        if stop <= start:
            return 0
        return stop - start - int(self.settled.range_cardinality(start, stop))

    def any_settled_in(self, start: int, stop: int) -> bool:
        return start < self.floor or bool(self.settled and self.settled.range_cardinality(start, stop))

    def settle(self, offsets: Sequence[int]) -> None:
        """Settle offsets, given in ascending order. Settled ones among them are no fault: nothing changes for them."""
        if not offsets:
            return
        if offsets[-1] - offsets[0] + 1 == len(offsets):
            self.settle_range(offsets[0], offsets[-1] + 1)
            return
        self.settled.update(offset for offset in offsets if offset >= self.floor)
        if self.failures:
            for offset in offsets:
                self.failures.pop(offset, None)
        self._advance()
        self.version += 1

    def settle_range(self, start: int, stop: int) -> None:
        """Settle every offset in [start, stop), whether or not a record exists there."""
        start = max(start, self.floor)
        if stop <= start:
            return
        if start == self.floor:
            self.floor = stop
        else:
            self.settled.add_range(start, stop)
        if self.failures:
            self._forget_failures(start, stop)
        self._advance()
        self.version += 1

    def failed(self, offset: int) -> int:
        """Count a delivery that ended badly; returns how many there were."""
        count = self.failures.get(offset, 0) + 1
        self.failures[offset] = count
        self.version += 1
        return count

    def delivery_count(self, offset: int) -> int:
        """What the delivery that comes next is counted as; the first is 1."""
        return self.failures.get(offset, 0) + 1

    def note_committed(self, offset: int) -> None:
        """The group's offset is this now. Rows need not be written for its sake: the mark says whose it is."""
        self.committed = offset

    def open(self) -> None:
        """The groups that begin with the partition have their rows. Forgotten, that would be found out once more."""
        self.opened = True
        self.version += 1

    def begin_tenure(self) -> None:
        """What earlier rows hand over counts no more once a row is written: it is ours to hold back from here on."""
        self.tenure += 1

    def begin_era(self, floor: int) -> None:
        """Forget what was settled and start at ``floor``: a seek, a reset, a topic made anew."""
        self.witnesses = tuple(witness for witness in self.witnesses if witness.offset < floor)
        self.era += 1
        self.floor = floor
        self.settled.clear()
        self.failures.clear()
        self.version += 1

    def bear(self, witness: Witness) -> None:
        """Remember a record below the floor. Rows need not be written for its sake."""
        self.witnesses = thinned((*self.witnesses, witness))

    def _forget_failures(self, start: int, stop: int) -> None:
        """A settled offset has no next delivery to count. Looks at the run or at the failures, whichever are fewer."""
        failures = self.failures
        if len(failures) <= stop - start:
            for offset in [offset for offset in failures if start <= offset < stop]:
                del failures[offset]
        else:
            for offset in range(start, stop):
                failures.pop(offset, None)

    def snapshot(self) -> LedgerSnapshot:
        return LedgerSnapshot(
            era=self.era,
            floor=self.floor,
            settled=BitMap64(self.settled),
            failures=dict(self.failures),
            committed=self.committed,
            witnesses=self.witnesses,
            topic_id=self.topic_id,
            tenure=self.tenure,
            opened=self.opened,
        )

    def _advance(self) -> None:
        """Move the floor past settled offsets. Doubling steps: the cost is the logarithm of the run, not the run."""
        settled = self.settled
        if not settled:
            return
        if settled.min() < self.floor:
            settled.remove_range(0, self.floor)
            if not settled:
                return
        floor = self.floor
        while floor in settled:
            step = 1
            while settled.contains_range(floor, floor + 2 * step):
                step *= 2
            floor += step
        if floor != self.floor:
            settled.remove_range(0, floor)
            self.floor = floor


def join(snapshots: Iterable[LedgerSnapshot]) -> LedgerSnapshot | None:
    """The one record that all of these amount to: the highest era, in it the largest floor and the union of the rest.

    Rows of one partition are written by several owners in turn and a late owner may wake up and write again, so no
    row is trusted over another of its era (`docs/decisions/0002-ledger-rows.md`). None where there is none. Only what
    is handed over is taken from rows of the highest tenure alone: a stale one would hold messages back again.
    """
    rows = list(snapshots)
    if not rows:
        return None
    era = max(row.era for row in rows)
    rows = [row for row in rows if row.era == era]
    floor = max(row.floor for row in rows)
    settled: BitMap64 = BitMap64()
    failures: dict[int, int] = {}
    for row in rows:
        settled |= BitMap64(row.settled)
        for offset, count in row.failures.items():
            failures[offset] = max(count, failures.get(offset, 0))
    settled.remove_range(0, floor)
    tenure = max(row.tenure for row in rows)
    committed = [row.committed for row in rows if row.committed is not None]
    return LedgerSnapshot(
        era=era,
        floor=floor,
        settled=settled,
        failures={offset: count for offset, count in failures.items() if offset >= floor and offset not in settled},
        committed=max(committed, default=None),
        witnesses=thinned(witness for row in rows for witness in row.witnesses),
        # Of one era all that know it agree; an older version forgets it.
        topic_id=max(row.topic_id for row in rows),
        tenure=tenure,
        opened=any(row.opened for row in rows),
        handed_over=tuple(run for row in rows if row.tenure == tenure for run in row.handed_over),
    )
