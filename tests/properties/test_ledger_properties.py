"""The ledger beside a plain set of offsets, and what joining and encoding must not change."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fanout_app.core.errors import RowError
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger, join
from fanout_app.core.ledger_row import decode_row, encode_row
from fanout_app.core.witness import Witness

#: Around the edges of the bitmap's containers too, and where 32 bits end.
BASES = (0, 65_530, (1 << 32) - 6)
offsets = st.builds(int.__add__, st.sampled_from(BASES), st.integers(0, 40))
counts = st.integers(1, 1000)
settles = st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=8, unique=True).map(sorted), max_size=12)

witnesses = st.builds(Witness, offsets, st.integers(-1, 1 << 42), st.integers(0, (1 << 32) - 1))
snapshots = st.builds(
    LedgerSnapshot,
    era=st.integers(0, 2),
    floor=offsets,
    settled=st.frozensets(offsets, max_size=12),
    failures=st.dictionaries(offsets, counts, max_size=5),
    committed=st.none() | offsets,
    witnesses=st.lists(witnesses, max_size=4, unique_by=lambda witness: witness.offset).map(sorted).map(tuple),
)


def contents(snapshot: LedgerSnapshot | None) -> Any:
    assert snapshot is not None
    settled = frozenset(snapshot.settled)
    # Of the witnesses only the latest is sure to stay: how the others are thinned out depends on who is joined first.
    latest = snapshot.witnesses[-1:]
    return snapshot.era, snapshot.floor, settled, dict(snapshot.failures), snapshot.committed, latest


def as_a_ledger_writes_it(snapshot: LedgerSnapshot) -> LedgerSnapshot:
    """Rows come from ledgers, which keep nothing about what is settled but that it is."""
    ledger = PartitionLedger(snapshot)
    for offset in [offset for offset in ledger.failures if ledger.is_settled(offset)]:
        del ledger.failures[offset]
    return ledger.snapshot()


@given(base=st.sampled_from(BASES), start=st.integers(0, 5), work=settles, failing=st.lists(st.integers(0, 60)))
def test_ledger_is_a_set_of_offsets(base: int, start: int, work: list[list[int]], failing: list[int]) -> None:
    ledger = PartitionLedger(LedgerSnapshot(floor=base + start))
    settled = set(range(base, base + start))
    for offset in failing:
        if base + offset not in settled:
            ledger.failed(base + offset)
    for run in work:
        version, news = ledger.version, {base + offset for offset in run} - settled
        ledger.settle([base + offset for offset in run])
        settled |= news
        assert not news or ledger.version > version
        floor = next(offset for offset in itertools.count(base) if offset not in settled)
        assert ledger.floor == floor
        assert list(ledger.settled) == sorted(offset for offset in settled if offset > floor)
        assert ledger.failures.keys() == {base + offset for offset in failing} - settled
        for at in range(base, base + 62):
            assert ledger.is_settled(at) == (at in settled)
        for first, last in itertools.combinations(range(base, base + 62, 7), 2):
            unsettled = [at for at in range(first, last) if at not in settled]
            assert ledger.unsettled_in(first, last) == len(unsettled)
            assert ledger.any_settled_in(first, last) == (len(unsettled) < last - first)


@given(
    floor=offsets,
    holes=st.lists(st.tuples(offsets, st.integers(0, 100)), max_size=6),
    single=st.lists(offsets, max_size=6),
)
def test_settling_a_range_is_settling_each_of_it(floor: int, holes: list[tuple[int, int]], single: list[int]) -> None:
    by_range = PartitionLedger(LedgerSnapshot(floor=floor))
    by_one = PartitionLedger(LedgerSnapshot(floor=floor))
    for ledger in (by_range, by_one):
        for offset in single:
            ledger.settle((offset,))
    for start, width in holes:
        by_range.settle_range(start, start + width)
        for offset in range(start, start + width):
            by_one.settle((offset,))
    assert contents(by_range.snapshot()) == contents(by_one.snapshot())


@given(st.lists(snapshots, min_size=1, max_size=4), st.randoms())
def test_join_does_not_care_about_order(rows: list[LedgerSnapshot], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert contents(join(shuffled)) == contents(join(rows))


@given(snapshots, snapshots, snapshots)
def test_join_does_not_care_about_grouping(a: LedgerSnapshot, b: LedgerSnapshot, c: LedgerSnapshot) -> None:
    left, right = join((a, b)), join((b, c))
    assert left is not None
    assert right is not None
    assert contents(join((left, c))) == contents(join((a, right))) == contents(join((a, b, c)))


@given(snapshots.map(as_a_ledger_writes_it))
def test_joining_a_row_with_itself_changes_nothing(row: LedgerSnapshot) -> None:
    assert contents(join((row, row))) == contents(row)


@given(st.lists(snapshots, min_size=1, max_size=4))
def test_joined_ledger_knows_what_any_row_of_its_era_knows(rows: list[LedgerSnapshot]) -> None:
    joined = join(rows)
    assert joined is not None
    rows = [row for row in rows if row.era == joined.era]
    known = [PartitionLedger(row) for row in rows]
    ledger = PartitionLedger(joined)
    for base in BASES:
        for offset in range(base, base + 45):
            settled = any(one.is_settled(offset) for one in known)
            assert ledger.is_settled(offset) == settled
            if not settled:
                assert ledger.delivery_count(offset) == max(one.delivery_count(offset) for one in known)


@given(row=snapshots, generation=counts, counter=counts)
def test_row_comes_back_as_it_was(row: LedgerSnapshot, generation: int, counter: int) -> None:
    decoded = decode_row(
        encode_row(row, id="one", topic="t", generation=generation, counter=counter), id="one", topic="t"
    )
    assert (decoded.generation, decoded.counter) == (generation, counter)
    assert contents(decoded.snapshot()) == contents(row)


@given(row=snapshots, pairs=st.tuples(*[st.sampled_from(("a", "a_b", "b_c", "c"))] * 4))
def test_row_of_another_id_or_topic_is_refused(row: LedgerSnapshot, pairs: Sequence[str]) -> None:
    written_id, written_topic, id, topic = pairs
    assume((written_id, written_topic) != (id, topic))
    data = encode_row(row, id=written_id, topic=written_topic, generation=1, counter=1)
    with pytest.raises(RowError, match=f"--id {written_id} --topic {written_topic}"):
        decode_row(data, id=id, topic=topic)


@given(row=snapshots, cut=st.integers(1, 30))
def test_row_that_was_cut_off_is_refused(row: LedgerSnapshot, cut: int) -> None:
    data = encode_row(row, id="one", topic="t", generation=1, counter=1)
    with pytest.raises(RowError):
        decode_row(data[:-cut], id="one", topic="t")
