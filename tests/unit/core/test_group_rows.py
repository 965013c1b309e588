"""Rows of groups with ledgers of their own: who has which slot of a partition, by all that were ever written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from fanout_app.core.errors import GroupsFullError, RowError
from fanout_app.core.group_bits import RANDOM_BITS, bits_of, hash_of, split
from fanout_app.core.group_row import FORMAT, SLOTS, GroupRow, Slot, decode_group_row, encode_group_row, slots_of
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.requests import BatchRef, Entry, LeaseRef, Settle
from fanout_app.core.slots import Seat, Slots


def row(group: str, claim: int = 1, **ledger: Any) -> GroupRow:
    slot = Slot(claim, group, LedgerSnapshot(**ledger))
    return decode_group_row(encode_group_row(slot, id="i", topic="t", generation=1, counter=1), id="i", topic="t")


def seen(rows: Iterable[tuple[int, GroupRow]]) -> dict[int, tuple[int, str, int, set[int]]]:
    """Claim, group, floor and what is settled above it."""
    slots = slots_of(rows).items()
    return {at: (one.claim, one.group, one.ledger.floor, set(one.ledger.settled)) for at, one in slots}


class TestSlotsOf:
    def test_all_rows_of_the_claim_that_counts_are_joined(self) -> None:
        rows = [(0, row("a", floor=5, settled={7})), (0, row("a", floor=4, settled={9})), (3, row("b", floor=1))]
        assert seen(rows) == {0: (1, "a", 5, {7, 9}), 3: (1, "b", 1, set())}

    def test_of_several_claims_that_of_the_latest_owner_counts_and_nothing_of_the_others(self) -> None:
        rows = [(0, row("a", 1, floor=50, tenure=4)), (0, row("b", 2, floor=7, tenure=4)), (0, row("a", 3, tenure=3))]
        assert seen(rows) == {0: (2, "b", 7, set())}

    def test_a_slot_that_was_given_up_is_free_and_its_claim_is_remembered(self) -> None:
        assert seen([(2, row("a", 1, floor=50)), (2, row("", 2))]) == {2: (2, "", 0, set())}

    def test_a_group_that_two_slots_were_claimed_for_has_the_later_one(self) -> None:
        rows = [(0, row("a", 1, floor=5, tenure=2)), (1, row("a", 1, floor=9, tenure=3))]
        assert seen(rows) == {0: (1, "", 0, set()), 1: (1, "a", 9, set())}


class TestRows:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "of a group, of format nothing"),
            (b"\x01\x90", f"of a group, of format 1, this version reads {FORMAT}: start the version that wrote it"),
            (bytes((FORMAT,)) + b"\x90", "of a group is damaged"),
            (bytes((FORMAT,)) + b"\x93\xff", "of a group is damaged"),
        ],
    )
    def test_what_is_no_row_of_a_group_is_refused(self, data: bytes, said: str) -> None:
        with pytest.raises(RowError, match=said):
            decode_group_row(data, id="i", topic="t")

    def test_one_of_another_id_and_topic_is_refused(self) -> None:
        data = encode_group_row(Slot(1, "g"), id="a", topic="b_c", generation=1, counter=1)
        with pytest.raises(RowError, match="belongs to --id a --topic b_c"):
            decode_group_row(data, id="a_b", topic="c")


class TestSlots:
    def test_a_group_keeps_its_slot_and_another_one_has_the_lowest_that_is_free(self) -> None:
        slots = Slots({0: Slot(4, "a"), 1: Slot(9), 2: Slot(1, "b")})
        assert (slots.of("a"), slots.of("c")) == (Seat(0, 4), None)
        assert slots.take("c") == slots.of("c") == Seat(1, 10), "claimed once more than by whoever gave it up"
        assert slots.take("d") == Seat(3, 1)

    def test_a_slot_that_is_given_up_is_claimed_for_nobody(self) -> None:
        slots = Slots({0: Slot(4, "a")})
        assert slots.free("a") == Seat(0, 5)
        assert slots.free("a") is None
        assert slots.take("b") == Seat(0, 6)

    def test_there_are_only_so_many(self) -> None:
        slots = Slots({number: Slot(1, f"g{number}") for number in range(SLOTS)})
        with pytest.raises(GroupsFullError, match=f"^{SLOTS} groups have a ledger"):
            slots.take("more")
        slots.free("g7")
        assert slots.take("more").number == 7


class TestBits:
    def test_a_batch_tells_its_group(self) -> None:
        assert bits_of(hash_of("a") << RANDOM_BITS | 12345) == hash_of("a")
        assert hash_of("a") != hash_of("b")
        assert hash_of("a") < 1 << (64 - RANDOM_BITS)

    def test_a_settle_is_split_by_the_groups_of_its_tokens(self) -> None:
        a, b = (hash_of(group) << RANDOM_BITS for group in "ab")
        of_a = Entry(token="lease", ref=LeaseRef(0, 0, 1, 1, a))
        batch_of_b = Entry(token="batch", ref=BatchRef(0, b + 1))
        forged = Entry(token="forged", ref=None)
        parts = split(Settle(nack=[of_a], ack=[batch_of_b, of_a, forged], durable=False))
        assert parts == {
            hash_of("a"): Settle(nack=[of_a], ack=[of_a], durable=False),
            hash_of("b"): Settle(ack=[batch_of_b], durable=False),
            None: Settle(ack=[forged], durable=False),
        }
