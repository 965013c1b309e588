"""Records are read whatever their header names are, and what cannot be read ends a fetch without an exception."""

from __future__ import annotations

from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from fanout_app.kafka.records import CarefulRecords, KeptRecords
from support.odd import Odd, batch_of

READ_COMMITTED = 1
BAD = Odd(value=b"bad", headers=[(b"\xff", b"1"), (b"ok", b"2"), (b"a\xc3", None)])
PLAIN = Odd(value=b"plain", headers=[(b"h\xc3\xa9", b"v")])


def parse(raw: bytes, *, offset: int = 0, aborted: list[tuple[int, int]] | None = None) -> CarefulRecords:
    tp = TopicPartition("topic", 0)
    return CarefulRecords(tp, KeptRecords(raw), aborted, offset, None, None, True, READ_COMMITTED)


def abort_marker(offset: int, producer: int) -> bytes:
    """The control batch that ends a transaction: version 0, type 0."""
    raw = bytearray(batch_of([Odd(key=b"\x00\x00\x00\x00", value=b"\x00" * 6)], offset=offset, producer=producer))
    raw[22] |= 0x20  # the control bit of the attributes, whose checksum follows
    return _with_checksum(raw)


def _with_checksum(raw: bytearray) -> bytes:
    raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
    return bytes(raw)


def test_names_that_are_not_utf8_are_shown_escaped_and_nothing_else_changes() -> None:
    records = parse(batch_of([PLAIN, BAD, BAD, PLAIN]) + batch_of([PLAIN, BAD], offset=4))
    came = list(records)
    assert [(record.offset, record.value) for record in came] == [
        (0, b"plain"), (1, b"bad"), (2, b"bad"), (3, b"plain"), (4, b"plain"), (5, b"bad"),
    ]  # fmt: skip
    assert came[1].headers == (("\\xff", b"1"), ("ok", b"2"), ("a\\xc3", None))
    assert came[3].headers == (("hé", b"v"),)
    assert records.bad_names == [1, 2, 5]
    assert records.unreadable is None
    assert records.next_fetch_offset == 6


def test_such_names_are_read_in_a_compressed_batch_too() -> None:
    values = [record.value for record in parse(batch_of([PLAIN, BAD, *[PLAIN] * 100], codec=1))]
    assert values == [b"plain", b"bad", *[b"plain"] * 100]


def test_a_fetch_in_the_middle_of_a_batch_begins_there() -> None:
    records = parse(batch_of([BAD, PLAIN, BAD, PLAIN], offset=10), offset=12)
    assert [record.offset for record in records] == [12, 13]


def test_a_bad_name_does_not_bring_aborted_records_back() -> None:
    raw = b"".join([
        batch_of([PLAIN], offset=0, producer=7), abort_marker(1, 7), batch_of([BAD], offset=2, producer=7),
        batch_of([BAD, PLAIN], offset=3),
        batch_of([BAD], offset=5, producer=7), abort_marker(6, 7), batch_of([PLAIN], offset=7, producer=7),
    ])  # fmt: skip
    records = parse(raw, aborted=[(7, 0), (7, 2)])
    assert [record.offset for record in records] == [3, 4, 7]
    assert records.next_fetch_offset == 8


def test_a_damaged_batch_ends_the_fetch_in_front_of_it() -> None:
    damaged = bytearray(batch_of([PLAIN, PLAIN], offset=2))
    damaged[-1] ^= 0xFF
    records = parse(batch_of([PLAIN, BAD]) + bytes(damaged) + batch_of([PLAIN], offset=4))
    assert [record.offset for record in records] == [0, 1]
    assert records.next_fetch_offset == 2
    assert "CRC" in str(records.unreadable)
    assert list(records) == []


def test_an_unknown_compression_ends_the_fetch_in_front_of_it() -> None:
    strange = bytearray(batch_of([PLAIN], offset=1))
    strange[22] |= 7
    records = parse(batch_of([PLAIN]) + _with_checksum(strange))
    assert [record.offset for record in records] == [0]
    assert "codec" in str(records.unreadable)
