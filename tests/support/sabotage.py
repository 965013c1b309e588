"""Workers that are broken on purpose, each as somebody could have written it: the judge of histories must catch all.

Runs in the worker's process, as `support.faults` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.message import Message
from fanout_app.core.partition import PartitionQueue
from fanout_app.group_commit import GroupCommit
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


SABOTAGES: dict[str, Callable[[Any, str], None]] = {
    "commits-highest": commits_highest,
    "answers-before-the-write": answers_before_the_write,
    "jumps-are-holes": jumps_are_holes,
    "never-released": never_released,
}
