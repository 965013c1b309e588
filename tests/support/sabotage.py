"""Workers that are broken on purpose, each as somebody could have written it: the judge of histories must catch all.

Runs in the worker's process, as `support.faults` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from fanout_app.canary import KEY
from fanout_app.cluster.ports import Peer
from fanout_app.cluster.settling import SettleRouting
from fanout_app.core.canary_board import CanaryBoard
from fanout_app.core.canary_row import CanaryRecord
from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.group_row import GroupRow, Slot
from fanout_app.core.key_order import KeyOrder
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.message import Message
from fanout_app.core.partition import PartitionQueue
from fanout_app.core.requests import Settle, SettleOutcome
from fanout_app.group_commit import GroupCommit
from fanout_app.kafka import ledger_table
from fanout_app.kafka.board_writer import BoardWriter
from fanout_app.kafka.ledger_rows import LedgerRows
from fanout_app.runtime import Runtime

_WRITTEN_LATER = 0.5


def commits_highest(report: Any, _: str) -> None:
    """What is committed is what lies behind the highest acked offset, as if acks came in order."""

    def committable(self: Runtime) -> dict[int, int]:
        ledgers = {number: partition.ledger for number, partition in self.dispatcher.partitions.items()}
        return {
            number: ledger.settled.max() + 1 if ledger.settled else ledger.floor for number, ledger in ledgers.items()
        }

    Runtime.committable = committable  # type: ignore[method-assign]


def answers_before_the_write(report: Any, _: str) -> None:
    """A durable settle is answered when its row is about to be written, and that is a little later."""
    stock = LedgerRows.write_row

    async def written(self: GroupCommit, partition: int, version: int, timeout: float) -> bool:
        self.kick()
        return True

    async def write_row(self: LedgerRows, partition: int, snapshot: LedgerSnapshot) -> int:
        await asyncio.sleep(_WRITTEN_LATER)
        return await stock(self, partition, snapshot)

    GroupCommit.written = written  # type: ignore[method-assign]
    LedgerRows.write_row = write_row  # type: ignore[method-assign]


def jumps_are_holes(report: Any, _: str) -> None:
    """What lies between two fetches is taken for offsets that do not exist."""
    stock = PartitionQueue.offer

    def offer(self: PartitionQueue, asked: int, after: int, messages: Sequence[Message]) -> bool:
        if asked > self.next_offset:
            self.ledger.settle_range(self.next_offset, asked)
            self.next_offset = asked
        return stock(self, asked, after, messages)

    PartitionQueue.offer = offer  # type: ignore[method-assign]


def never_released(report: Any, _: str) -> None:
    """An answer that could not be written leaves its messages leased to a client that never got them."""
    Dispatcher.release = lambda self, answer, now: None  # type: ignore[method-assign]


def a_stale_row_wins(report: Any, _: str) -> None:
    """Of the rows of a partition one is believed, and they are sorted the wrong way round."""

    def oldest(snapshots: Iterable[LedgerSnapshot]) -> LedgerSnapshot | None:
        return min(snapshots, key=attrgetter("tenure"), default=None)

    vars(ledger_table)["join"] = oldest


def leases_are_not_handed_over(report: Any, _: str) -> None:
    """The last row of who gives a partition up is one like any other, and no lease counts as left out of it."""

    def last_snapshot(self: Dispatcher, number: int, now: float) -> tuple[LedgerSnapshot, int]:
        return self.partitions[number].snapshot(), 0

    Dispatcher.last_snapshot = last_snapshot  # type: ignore[method-assign]


def keys_are_not_handed_over(report: Any, _: str) -> None:
    """What clients hold of an earlier owner keeps nothing of its key back."""

    def is_out(self: KeyOrder, message: Message) -> None:
        pass

    KeyOrder.is_out = is_out  # type: ignore[method-assign]


def shares_written_late(report: Any, _: str) -> None:
    """Whenever the leader writes shares, one of the epoch before has wanted other ones, and writes them a bit later.

    This is no fault: a leader that is stopped in the wrong moment does the same.
    """
    stock = BoardWriter.write
    on_their_way: set[asyncio.Task[None]] = set()

    async def write(self: BoardWriter, key: str, value: bytes | None, *, sealed: bool = True) -> int:
        async def write_late(row: bytes) -> None:
            await asyncio.sleep(_WRITTEN_LATER)
            await stock(self, key, row, sealed=sealed)

        if key == KEY and value is not None:
            *names, epoch, state = msgspec.msgpack.decode(value[1:])
            state |= {"weights": {"stable": 1, "canary": 1}, "made_in": epoch - 1}
            late = asyncio.create_task(write_late(value[:1] + msgspec.msgpack.encode([*names, epoch - 1, state])))
            on_their_way.add(late)
            late.add_done_callback(on_their_way.discard)
        return await stock(self, key, value, sealed=sealed)

    BoardWriter.write = write  # type: ignore[method-assign]


def late_shares_count(report: Any, _: str) -> None:
    """What was written last holds, whoever has written it."""

    def counts(self: CanaryBoard, record: CanaryRecord, followed: int | None) -> bool:
        return True

    CanaryBoard._counts = counts  # type: ignore[method-assign]


def a_row_of_a_group_is_lost(report: Any, _: str) -> None:
    """Who takes a partition over finds nothing of one of the groups that have a ledger of their own."""
    stock = vars(ledger_table)["slots_of"]

    def slots_of(rows: Iterable[tuple[int, GroupRow]]) -> dict[int, Slot]:
        slots: dict[int, Slot] = stock(rows)
        lost = next((number for number, slot in sorted(slots.items()) if slot.group), None)
        return {number: slot for number, slot in slots.items() if number != lost}

    vars(ledger_table)["slots_of"] = slots_of


def forwarded_acks_are_believed(report: Any, _: str) -> None:
    """What is to be settled at another worker is sent on, and answered as done: it will be."""
    stock = SettleRouting._settle_at
    on_their_way: set[asyncio.Task[Settle]] = set()

    async def settle_at(
        self: SettleRouting, peer: Peer | None, settle: Settle, total: SettleOutcome, until: float
    ) -> Settle:
        if peer is None:
            return await stock(self, peer, settle, total, until)
        sent_on = asyncio.create_task(stock(self, peer, settle, SettleOutcome(), until))
        on_their_way.add(sent_on)
        sent_on.add_done_callback(on_their_way.discard)
        total.acked += len(settle.ack)
        return Settle()

    SettleRouting._settle_at = settle_at  # type: ignore[method-assign]


SABOTAGES: dict[str, Callable[[Any, str], None]] = {
    "commits-highest": commits_highest,
    "answers-before-the-write": answers_before_the_write,
    "jumps-are-holes": jumps_are_holes,
    "never-released": never_released,
    "a-stale-row-wins": a_stale_row_wins,
    "leases-are-not-handed-over": leases_are_not_handed_over,
    "forwarded-acks-are-believed": forwarded_acks_are_believed,
    "a-row-of-a-group-is-lost": a_row_of_a_group_is_lost,
    "keys-are-not-handed-over": keys_are_not_handed_over,
    "shares-written-late": shares_written_late,
    "late-shares-count": late_shares_count,
}
