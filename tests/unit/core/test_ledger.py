"""The ledger and its rows: what an example shows better than a property."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from fanout_app.core.errors import RowError
from fanout_app.core.lease import HandedOver
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger, join
from fanout_app.core.ledger_row import FORMAT, LedgerRow, decode_row, encode_row
from fanout_app.core.witness import Witness
from unit.core.desk import ledger


def row(snapshot: LedgerSnapshot) -> bytes:
    return encode_row(snapshot, id="orders", topic="in", generation=7, counter=3)


def read(data: bytes) -> LedgerRow:
    return decode_row(data, id="orders", topic="in")


def test_floor_is_the_lowest_unsettled_and_moves_over_what_is_settled_above() -> None:
    one = PartitionLedger()
    one.settle((1, 2, 4))
    assert (one.floor, list(one.settled)) == (0, [1, 2, 4])
    one.settle((0,))
    assert (one.floor, list(one.settled)) == (3, [4])
    one.settle((3,))
    assert (one.floor, list(one.settled)) == (5, [])


def test_version_rises_with_what_must_not_be_forgotten_only() -> None:
    one = PartitionLedger(ledger(5))
    changes: list[Callable[[], object]] = [
        lambda: one.settle((7,)),
        lambda: one.settle((7, 9)),
        lambda: one.settle_range(10, 12),
        lambda: one.failed(5),
        lambda: one.begin_era(3),
    ]
    nothings: list[Callable[[], object]] = [
        lambda: one.settle(()),
        lambda: one.settle((0, 1, 2)),
        lambda: one.settle_range(1, 3),
    ]
    for change in changes:
        version = one.version
        change()
        assert one.version > version
    version = one.version
    for nothing in nothings:
        nothing()
        assert one.version == version


def test_failures_are_counted_until_the_offset_is_settled() -> None:
    one = PartitionLedger()
    assert [one.failed(3), one.failed(3), one.failed(9)] == [1, 2, 1]
    assert [one.delivery_count(offset) for offset in (3, 9, 4)] == [3, 2, 1]
    one.settle((1, 3))
    assert one.failures == {9: 1}
    one.settle_range(0, 100)
    assert one.failures == {}


def test_a_settled_run_costs_no_more_than_the_failures_in_it_or_around_it() -> None:
    one = PartitionLedger()
    for offset in range(0, 1000, 2):
        one.failed(offset)
    one.settle((10, 11))
    assert len(one.failures) == 499


def test_an_era_begins_empty() -> None:
    one = PartitionLedger(
        LedgerSnapshot(
            era=2,
            floor=10,
            settled=frozenset({12}),
            failures={11: 1},
            committed=10,
            witnesses=(Witness(3, 5, 1), Witness(4, 5, 1), Witness(9, 5, 1)),
        )
    )
    one.begin_era(4)
    assert (one.era, one.floor, list(one.settled), one.failures) == (3, 4, [], {})
    assert one.witnesses == (Witness(3, 5, 1),), "a witness is a record below the floor"


def test_a_row_above_a_settled_floor_starts_at_the_next_unsettled_one() -> None:
    assert PartitionLedger(ledger(5, 5, 6, 8)).floor == 7
    assert list(PartitionLedger(ledger(5, 2, 8)).settled) == [8]


def test_a_snapshot_does_not_change_with_its_ledger() -> None:
    one = PartitionLedger()
    one.settle((4,))
    one.failed(1)
    before = one.snapshot()
    one.settle((6,))
    one.failed(1)
    assert (list(before.settled), before.failures) == ([4], {1: 1})


def test_no_rows_are_no_ledger() -> None:
    assert join(()) is None


def test_a_stale_row_costs_nothing_and_a_higher_era_wins_whole() -> None:
    stale, fresh = ledger(3, 9, failures=[(4, 1)]), ledger(5, 7, failures=[(6, 2)])
    joined = join((fresh, stale))
    assert joined is not None
    assert (joined.floor, list(joined.settled), joined.failures) == (5, [7, 9], {6: 2})
    reset = join((fresh, stale, ledger(0, era=1)))
    assert reset is not None
    assert (reset.era, reset.floor, list(reset.settled), reset.failures) == (1, 0, [], {})


def test_the_witness_and_the_commit_that_are_furthest_on_are_kept() -> None:
    rows = [
        LedgerSnapshot(witnesses=(Witness(5, 100, 1),), committed=5),
        LedgerSnapshot(witnesses=(Witness(9, 50, 2),), committed=None),
        LedgerSnapshot(committed=7),
    ]
    joined = join(rows)
    assert joined is not None
    assert (joined.witnesses, joined.committed) == ((Witness(5, 100, 1), Witness(9, 50, 2)), 7)


def test_what_is_handed_over_counts_until_a_later_owner_has_written() -> None:
    run = HandedOver(first=7, span=2, left=5.0, client="A", batch=1)
    left = LedgerSnapshot(floor=5, tenure=4, handed_over=(run,))
    of_the_same = LedgerSnapshot(floor=4, tenure=4)
    later = LedgerSnapshot(floor=5, tenure=5)
    older_version = LedgerSnapshot(floor=6)
    kept = [join(rows) for rows in ((left,), (of_the_same, left), (older_version, left))]
    assert [(row.tenure, row.handed_over) for row in kept if row is not None] == [(4, (run,))] * 3
    gone = [join(rows) for rows in ((left, later), (left, LedgerSnapshot(era=1)))]
    assert [(row.tenure, row.handed_over) for row in gone if row is not None] == [(5, ()), (0, ())]


def test_each_owner_begins_a_tenure_and_only_its_last_row_hands_anything_over() -> None:
    one = PartitionLedger(LedgerSnapshot(tenure=4, handed_over=(HandedOver(first=0, span=1, left=5.0, client="A"),)))
    one.begin_tenure()
    assert (one.snapshot().tenure, one.snapshot().handed_over) == (5, ())


def test_a_row_with_a_hundred_thousand_gaps_is_small() -> None:
    assert len(row(ledger(0, *range(1, 200_000, 2)))) < 30_000


def test_a_row_says_who_wrote_it() -> None:
    decoded = read(row(ledger(5, 7)))
    assert (decoded.id, decoded.topic, decoded.generation, decoded.counter) == ("orders", "in", 7, 3)


def test_a_row_with_more_fields_than_this_version_knows_is_read() -> None:
    fields = msgspec.msgpack.decode(row(ledger(5, 7))[1:])
    longer = bytes((FORMAT,)) + msgspec.msgpack.encode([*fields, "news", 1])
    assert list(read(longer).snapshot().settled) == [7]


def test_a_row_keeps_all_witnesses_in_their_order() -> None:
    witnesses = tuple(Witness(offset, 1_700_000_000_000, 0xFFFFFFFF) for offset in (3, 50, 1 << 40))
    data = row(LedgerSnapshot(floor=1 << 41, witnesses=witnesses))
    assert read(data).snapshot().witnesses == witnesses
    assert len(row(LedgerSnapshot(floor=1 << 41, witnesses=witnesses * 8))) < 700, "24 of them are no burden"


@pytest.mark.parametrize(("written", "read_as"), [(None, ()), ((3, 5, 1), (Witness(3, 5, 1),))])
def test_a_row_from_before_there_were_older_witnesses_is_read(
    written: tuple[int, int, int] | None, read_as: tuple[Witness, ...]
) -> None:
    fields = msgspec.msgpack.decode(row(ledger(5, 7))[1:])
    old = bytes((FORMAT,)) + msgspec.msgpack.encode([*fields[:9], written])
    assert read(old).snapshot().witnesses == read_as


@pytest.mark.parametrize("data", [b"", b"\x00", bytes((FORMAT + 1,)) + row(ledger(5))[1:]])
def test_a_row_of_another_format_is_refused(data: bytes) -> None:
    with pytest.raises(RowError, match="start the version that wrote it"):
        read(data)


def test_a_row_that_is_no_row_is_refused() -> None:
    with pytest.raises(RowError, match="damaged"):
        read(bytes((FORMAT,)) + b"\xff\xfe")


def test_a_row_whose_settled_offsets_are_damaged_is_refused_when_they_are_read() -> None:
    fields = msgspec.msgpack.decode(row(ledger(5, 7))[1:])
    damaged = [field if field != fields[6] else b"\x01\x02\x03" for field in fields]
    decoded = read(bytes((FORMAT,)) + msgspec.msgpack.encode(damaged))
    with pytest.raises(RowError, match="damaged"):
        decoded.snapshot()


def test_a_row_of_names_that_run_together_is_refused_with_the_remedy() -> None:
    data = encode_row(ledger(5), id="a_b", topic="c", generation=1, counter=1)
    with pytest.raises(RowError, match="choose another --id"):
        decode_row(data, id="a", topic="b_c")


def test_ledger_says_where_it_stands() -> None:
    assert repr(PartitionLedger(ledger(5, 7, era=2))) == "<PartitionLedger era=2 floor=5 above=1 version=0>"


def test_how_many_are_unsettled_in_a_stretch() -> None:
    one = PartitionLedger(ledger(5, 7, 9))
    assert [one.unsettled_in(*stretch) for stretch in ((0, 5), (0, 6), (5, 10), (20, 30), (9, 9))] == [0, 1, 3, 10, 0]
    assert [one.any_settled_in(*stretch) for stretch in ((0, 6), (5, 7), (5, 8), (20, 30))] == [
        True,
        False,
        True,
        False,
    ]


def test_what_is_committed_is_written_with_the_next_row_and_makes_none_due() -> None:
    one = PartitionLedger(ledger(5))
    one.note_committed(5)
    assert (one.version, one.snapshot().committed) == (0, 5)
