"""What the rows of a partition amount to, its own and those of groups, and which of them wait for one another."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from fanout_app.core.errors import RowError
from fanout_app.core.group_row import Slot, encode_group_row
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.ledger_row import encode_row
from fanout_app.kafka.ledger_table import LedgerTable, Place, place_of, row_key
from unit.fake_ports import until

NAMES = {"id": "orders", "topic": "in"}


def base(floor: int, **more: Any) -> bytes:
    return encode_row(LedgerSnapshot(floor=floor, **more), **NAMES, generation=1, counter=1)


def of_group(group: str, floor: int = 0, *, claim: int = 1, **more: Any) -> bytes:
    slot = Slot(claim, group, LedgerSnapshot(floor=floor, **more))
    return encode_group_row(slot, **NAMES, generation=1, counter=1)


class Sending:
    """A producer whose rows are acknowledged when a test says so."""

    def __init__(self) -> None:
        self.sent: dict[bytes, asyncio.Future[Any]] = {}
        self._producer = SimpleNamespace(
            client=SimpleNamespace(cluster=SimpleNamespace(partitions_for_topic=lambda topic: {0, 1}))
        )

    async def send(self, topic: str, key: bytes, row: bytes, *_: Any) -> asyncio.Future[Any]:
        self.sent[key] = asyncio.get_running_loop().create_future()
        return self.sent[key]


class Table(LedgerTable):
    """One without an app and without Kafka."""

    changelog_topic_name = "changelog"
    data: Any = None
    app: Any = None

    def __init__(self, rows: dict[bytes, bytes] | None = None) -> None:
        self.data = rows or {}
        self._sent = {}
        self.producer = Sending()
        self.app = SimpleNamespace(producer=self.producer)


def joined(rows: dict[bytes, bytes], *partitions: int) -> Any:
    return Table(rows).joined(partitions or (0,), **NAMES)


def floors(slots: dict[int, Slot]) -> dict[str, int]:
    return {slot.group: slot.ledger.floor for slot in slots.values() if slot.group}


def test_a_row_of_a_group_says_nothing_of_the_partition() -> None:
    found = joined({row_key(0, 1): base(10), row_key(0, 1, 0): of_group("x", 500)})[0]
    assert found.base is not None
    assert found.base.floor == 10
    assert floors(found.slots) == {"x": 500}


def test_each_partition_has_its_own_rows() -> None:
    rows = {row_key(1, 1): base(1), row_key(11, 1): base(11), row_key(11, 1, 1): of_group("x", 12)}
    found = joined(rows, 1, 11, 2)
    assert [found[number].base and found[number].base.floor for number in (1, 11, 2)] == [1, 11, None]
    assert [floors(found[number].slots) for number in (1, 11, 2)] == [{}, {"x": 12}, {}]


def test_rows_of_one_claim_are_joined_whoever_wrote_them() -> None:
    late = of_group("x", 20, settled=frozenset({25}), tenure=6)
    last = of_group("x", 22, settled=frozenset({27}), tenure=7)
    found = joined({row_key(0, 6, 3): late, row_key(0, 7, 3): last})[0].slots[3]
    assert (found.group, found.ledger.floor, set(found.ledger.settled)) == ("x", 22, {25, 27})


def test_a_group_that_joins_again_does_not_have_what_it_had_before_it_was_dropped() -> None:
    before = of_group("x", 20, settled=frozenset({90}), claim=1, tenure=6)
    after = of_group("x", 80, claim=3, tenure=6)
    found = joined({row_key(0, 6, 3): before, row_key(0, 7, 3): after})[0].slots[3]
    assert (found.ledger.floor, set(found.ledger.settled)) == (80, set())


def test_a_slot_that_was_freed_is_free_whatever_older_rows_say() -> None:
    rows = {row_key(0, 6, 3): of_group("x", 20, claim=1, tenure=6), row_key(0, 7, 3): of_group("", claim=2, tenure=6)}
    assert joined(rows)[0].slots == {3: Slot(2)}


def test_what_a_late_owner_drops_is_not_dropped() -> None:
    """The next one has written its row by then, and knows of nobody who has left."""
    late = of_group("", claim=2, tenure=6)
    last = of_group("x", 22, claim=1, tenure=7)
    assert floors(joined({row_key(0, 6, 3): late, row_key(0, 7, 3): last})[0].slots) == {"x": 22}


def test_a_group_in_two_slots_is_in_the_one_that_was_claimed_last() -> None:
    rows = {row_key(0, 6, 3): of_group("x", 20, tenure=6), row_key(0, 7, 4): of_group("x", 40, tenure=7)}
    slots = joined(rows)[0].slots
    assert (floors(slots), slots[3]) == ({"x": 40}, Slot(1))


@pytest.mark.parametrize("key", [b"", b"0", b"0/1/2/3", b"0/9", b"a/1", b"0/1/", b"00/1", b" 0/1"])
def test_a_key_that_nobody_writes_is_refused(key: bytes) -> None:
    with pytest.raises(RowError, match="changelog holds a record that fanout did not write"):
        joined({key: base(1)})


def test_keys_name_what_they_are_about() -> None:
    assert place_of(row_key(12, 17)) == Place(12)
    assert place_of(row_key(12, 17, 99)) == Place(12, 99)


def test_a_row_of_a_group_is_no_row_of_a_partition_nor_the_other_way_round() -> None:
    with pytest.raises(RowError, match="of format 129, this version reads 1: start the version that wrote it"):
        joined({row_key(0, 1): of_group("x")})
    with pytest.raises(RowError, match="of format 1, this version reads 129"):
        joined({row_key(0, 1, 0): base(1)})


def test_a_group_of_another_id_is_refused() -> None:
    with pytest.raises(RowError, match="belongs to --id orders"):
        Table({row_key(0, 1, 0): of_group("x")}).joined([0], id="others", topic="in")


async def test_rows_of_groups_do_not_wait_for_one_another() -> None:
    table = Table()
    sending = table.producer.sent
    writes = [asyncio.create_task(table.write(row_key(0, 1, slot), b"")) for slot in (None, 0, 1)]
    again = asyncio.create_task(table.write(row_key(0, 2, 0), b"later"))
    await until(lambda: len(sending) == 3)
    await asyncio.sleep(0.01)
    assert set(sending) == {b"0/1", b"0/1/0", b"0/1/1"}
    sending[b"0/1/0"].set_result(None)
    await until(lambda: len(sending) == 4)
    for sent in sending.values():
        if not sent.done():
            sent.set_result(None)
    await asyncio.gather(*writes, again)
    assert table.data == {b"0/1": b"", b"0/1/0": b"", b"0/1/1": b"", b"0/2/0": b"later"}
