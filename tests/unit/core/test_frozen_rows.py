"""Rows that were written long ago, or by a later version, kept as files: they are read for ever as they were meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fanout_app.core.errors import RowError
from fanout_app.core.group_row import Slot, decode_group_row, encode_group_row
from fanout_app.core.lease import HandedOver
from fanout_app.core.ledger import LedgerSnapshot, join
from fanout_app.core.ledger_row import LedgerRow, decode_row, encode_row
from fanout_app.core.witness import Witness

ROWS = Path(__file__).parents[2] / "data" / "rows"

LEDGER = LedgerSnapshot(
    era=3,
    floor=1000,
    settled=frozenset({1002, 1003, *range(2000, 2500)}),
    failures={1004: 1, 1005: 1, 1006: 1, 1012: 2, 1013: 2, 1500: 7},
    committed=998,
    witnesses=(
        Witness(512, 1_700_000_000_000, 11),
        Witness(900, 1_700_000_000_400, 22),
        Witness(999, 1_700_000_000_999, 4_294_967_295),
    ),
)
HANDED_OVER = (
    HandedOver(first=1004, span=3, left=59.25, client="worker-ä", group="stable", batch=0xFEDCBA9876543210,
               delivery_count=2, age=0.75),
    HandedOver(first=1010, span=1, left=3600.0, client="one", group="canary", anonymous=True, batch=1,
               delivery_count=1, age=12.0),
    HandedOver(first=1012, span=2, left=600.5, client="worker-ä", delivery_count=3),
)  # fmt: skip


TOPIC_ID = bytes(range(16))


def read(name: str) -> LedgerRow:
    return decode_row((ROWS / name).read_bytes(), id="orders", topic="in")


def comparable(snapshot: LedgerSnapshot) -> LedgerSnapshot:
    return replace(snapshot, settled=frozenset(snapshot.settled))


def test_a_row_of_the_version_before_leases_were_handed_over() -> None:
    row = read("format-1-ebee9b2.bin")
    assert (row.generation, row.counter) == (41, 1234)
    assert comparable(row.snapshot()) == LEDGER


def test_a_last_row_with_what_is_handed_over() -> None:
    row = read("format-1-handed-over.bin")
    assert comparable(row.snapshot()) == replace(LEDGER, tenure=12, handed_over=HANDED_OVER)


def test_a_row_with_the_id_of_its_topic() -> None:
    row = read("format-1-topic-id.bin")
    assert comparable(row.snapshot()) == replace(LEDGER, tenure=12, handed_over=HANDED_OVER, topic_id=TOPIC_ID)


def test_this_version_writes_what_it_has_frozen() -> None:
    snapshot = replace(LEDGER, tenure=12, handed_over=HANDED_OVER, topic_id=TOPIC_ID, opened=True)
    frozen = (ROWS / "format-1-opened.bin").read_bytes()
    assert encode_row(snapshot, id="orders", topic="in", generation=41, counter=1234) == frozen
    assert comparable(read("format-1-opened.bin").snapshot()) == snapshot


def test_a_row_of_a_newer_format_is_refused() -> None:
    with pytest.raises(RowError, match="of format 2, this version reads 1: start the version that wrote it"):
        read("format-2.bin")


def test_the_version_before_reads_a_last_row_as_the_ledger_it_is() -> None:
    """It knows the fields up to the witnesses, and leaves alone what follows."""
    known = msgspec.structs.fields(LedgerRow)[:-4]
    before = msgspec.defstruct(
        "LedgerRow",
        [(one.name, one.type) if one.required else (one.name, one.type, one.default) for one in known],
        array_like=True,
        kw_only=True,
    )
    older = msgspec.msgpack.decode((ROWS / "format-1-ebee9b2.bin").read_bytes()[1:], type=before)
    for name in ("format-1-handed-over.bin", "format-1-topic-id.bin", "format-1-opened.bin"):
        assert msgspec.msgpack.decode((ROWS / name).read_bytes()[1:], type=before) == older


def test_rows_of_all_versions_are_joined() -> None:
    names = ("format-1-ebee9b2.bin", "format-1-opened.bin", "format-1-ebee9b2.bin")
    joined = join([read(name).snapshot() for name in names])
    assert joined is not None
    known = replace(LEDGER, tenure=12, handed_over=HANDED_OVER, topic_id=TOPIC_ID)
    assert comparable(joined) == replace(known, opened=True)


def test_rows_of_a_group_and_of_a_slot_that_is_free() -> None:
    ledger = replace(LEDGER, tenure=12, handed_over=HANDED_OVER, topic_id=TOPIC_ID)
    for name, slot, counter in (
        ("format-129.bin", Slot(7, "gruppe-ä", ledger), 1234),
        ("format-129-free.bin", Slot(8, "", LedgerSnapshot(tenure=12)), 1235),
    ):
        frozen = (ROWS / name).read_bytes()
        row = decode_group_row(frozen, id="orders", topic="in")
        assert (row.group, row.claim, row.ledger.counter) == (slot.group, slot.claim, counter)
        assert comparable(row.ledger.snapshot()) == comparable(slot.ledger)
        assert encode_group_row(slot, id="orders", topic="in", generation=41, counter=counter) == frozen
        with pytest.raises(RowError, match="of format 129, this version reads 1: start the version that wrote it"):
            decode_row(frozen, id="orders", topic="in")
