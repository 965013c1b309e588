"""What the consumer's driver hands over: fetches with the positions around them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from faust.types import TP

from fanout_app.core.message import Message


class FetchedBatch:
    """One fetch of one partition: the records in [asked, after), which may be none."""

    __slots__ = ("after", "asked", "messages", "partition")

    def __init__(self, partition: int, asked: int, after: int, messages: list[Message]) -> None:
        self.partition = partition
        self.asked = asked
        self.after = after
        self.messages = messages

    def __repr__(self) -> str:
        return f"<FetchedBatch p{self.partition} [{self.asked}, {self.after}) {len(self.messages)} messages>"


class Brought:
    """What one poll brought of the source topic, on its way to the intake."""

    __slots__ = ("fetches", "taken")

    def __init__(self, fetches: list[FetchedBatch]) -> None:
        self.fetches = fetches
        #: Done when they need not be waited for any more: the intake has taken them, or they may never arrive.
        self.taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wait_no_more(self, *_: object) -> None:
        if not self.taken.done():
            self.taken.set_result(None)


class Poll(NamedTuple):
    """What one poll brought: fetches of the source topic, records of others, the source's positions."""

    fetches: list[FetchedBatch]
    others: Mapping[TP, list[Any]]
    positions: dict[int, int]
