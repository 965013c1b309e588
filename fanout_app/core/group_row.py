"""The ledgers of groups that have one of their own: the bytes of their rows, and what those of a partition amount to.

Such a group has one of the partition's slots; the keys are bounded by the number of these, whatever names groups have.
A slot is claimed by a group that joins, and claimed again to be free when the group is dropped. Of several rows of one
slot the claim counts that the latest owner knew of (its tenure is higher than that of all rows it has read), and all
rows of that claim are joined, as those of a partition are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from fanout_app.core.errors import RowError
from fanout_app.core.ledger import LedgerSnapshot, join
from fanout_app.core.ledger_row import LedgerRow, belonging, row_of

#: The high bit says that the row is a group's: a version that knows of no such rows refuses it.
FORMAT = 0x81
#: Groups with a ledger of their own at a time.
SLOTS = 100


class GroupRow(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One row of a slot. Fields are only ever added at the end."""

    ledger: LedgerRow
    #: Empty: the slot is free.
    group: str
    #: Counts the claims of the slot.
    claim: int


class Slot(NamedTuple):
    """What is known of one slot of a partition."""

    claim: int
    #: Empty where it is free.
    group: str = ""
    ledger: LedgerSnapshot = LedgerSnapshot()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(GroupRow)


def encode_group_row(slot: Slot, *, id: str, topic: str, generation: int, counter: int) -> bytes:
    ledger = row_of(slot.ledger, id=id, topic=topic, generation=generation, counter=counter)
    return bytes((FORMAT,)) + _encoder.encode(GroupRow(ledger=ledger, group=slot.group, claim=slot.claim))


def decode_group_row(data: bytes, *, id: str, topic: str) -> GroupRow:
    """Read a row back.

    Raises:
        RowError: it is of a newer format, damaged, or of another id and topic.
    """
    if data[:1] != bytes((FORMAT,)):
        found = data[0] if data else "nothing"
        raise RowError(
            f"ledger row of a group, of format {found}, this version reads {FORMAT}: start the version that wrote it"
        )
    try:
        row = _decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, ValueError) as error:
        raise RowError(f"ledger row of a group is damaged: {error}") from error
    belonging(row.ledger, id=id, topic=topic)
    return row


def slots_of(rows: Iterable[tuple[int, GroupRow]]) -> dict[int, Slot]:
    """The slots of one partition by all rows of them, each with its slot's number."""
    by_slot: dict[int, list[GroupRow]] = {}
    for number, row in rows:
        by_slot.setdefault(number, []).append(row)
    last = {number: max(some, key=_rank) for number, some in by_slot.items()}
    holders = _holders(last)
    return {
        number: _joined(row, by_slot[number]) if holders.get(row.group) == number else Slot(row.claim)
        for number, row in last.items()
    }


def _rank(row: GroupRow) -> tuple[int, int]:
    return row.ledger.tenure, row.claim


def _holders(last: Mapping[int, GroupRow]) -> dict[str, int]:
    """Where a late owner has let a group join that another slot was claimed for since, the later claim counts."""
    holders: dict[str, int] = {}
    for number, row in sorted(last.items(), key=lambda item: _rank(item[1])):
        if row.group:
            holders[row.group] = number
    return holders


def _joined(last: GroupRow, rows: Iterable[GroupRow]) -> Slot:
    of_claim = [row for row in rows if (row.group, row.claim) == (last.group, last.claim)]
    ledger = join([row.ledger.snapshot() for row in of_claim])
    assert ledger is not None
    return Slot(last.claim, last.group, ledger)
