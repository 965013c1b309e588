"""A worker without Kafka, ZooKeeper and HTTP: its queue and its part in the cluster, exactly as a real one has them.

What a real one adds is left out: intake, the changelog (settles are done once they are so in memory), tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import NamedTuple, cast

import msgspec

from fanout_app.cluster.exchange import Exchange
from fanout_app.cluster.frames import Wish
from fanout_app.cluster.ports import Rendered
from fanout_app.cluster.relayed import Relayed
from fanout_app.core.ages import Ages
from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.lease import Answer
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.requests import BatchRef, Empty, Entry, Pull, Settle, SettleOutcome
from fanout_app.core.settling import Settling
from fanout_app.groups import Alone
from fanout_app.ledger_group import LedgerGroup
from fanout_app.metric_names import DELIVERY_AGE
from fanout_app.pulls import Pulls
from fanout_app.settles import Settles
from fanout_app.tasks import Tasks

GENERATION = 1


class Record(NamedTuple):
    """A message. What time it was made at is its timestamp, in seconds of whatever clock there is."""

    offset: int
    timestamp: float
    value: bytes = b"x" * 100
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Taken(NamedTuple):
    """What a client was answered."""

    partition: int
    batch: int
    made_at: float


class _InMemory:
    """Settles that are durable at once."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def settle(self, settle: Settle, until: float | None = None) -> SettleOutcome:
        return Settling(self._dispatcher, monotonic()).run(settle)


class _Always:
    """Nobody takes a partition away here."""

    def term(self) -> int:
        return GENERATION

    def holds(self, term: int, now: float) -> bool:
        return True

    def trusted(self, now: float) -> bool:
        return True

    def rebalance_ended(self, term: int) -> bool:
        return True


class CoreWorker:
    """One worker, with the partitions it is to have."""

    def __init__(self, name: str, partitions: list[int], *, chance: Callable[[], float], batches: count[int]) -> None:
        """``batches`` numbers the answers of all workers together."""
        self.name = name
        self.dispatcher = Dispatcher(Limits(), new_batch=batches.__next__, jitter=chance)
        for number in partitions:
            self.dispatcher.assign(number, LedgerSnapshot())
        self._moved = asyncio.Event()
        self._moved.set()
        self.tasks = Tasks(_raise)
        self.pulls = Pulls(
            self.dispatcher,
            _Always(),
            moved=self._moved,
            take_more=lambda: None,
            on_time=self._on_time,
            ages=Ages(DELIVERY_AGE.bounds),
        )
        queue = LedgerGroup(self.dispatcher)
        queue.pulls = self.pulls
        queue.settles = cast(Settles, _InMemory(self.dispatcher))
        self.exchange = Exchange(
            self.dispatcher,
            Alone(queue),
            generation=lambda: GENERATION,
            waiting=self.waiting,
            render=_render,
            answerers={},
            tasks=self.tasks,
        )
        self.exchange.routes._chance = chance

    def _on_time(self) -> None:
        self.dispatcher.expire(monotonic())
        self.pulls.serve()

    def waiting(self) -> int:
        return sum(len(one.fresh) + len(one.returned) for one in self.dispatcher.partitions.values())

    def offer(self, number: int, messages: int) -> None:
        """So many more messages of one partition have come."""
        at = self.dispatcher.partitions[number].next_offset
        now = monotonic()
        self.dispatcher.offer(number, at, at + messages, [Record(at + i, now) for i in range(messages)])  # type: ignore[misc]
        self.pulls.serve()

    async def pull(self, client: str, wait: float, most: int = 1) -> Taken | None:
        """What a client is answered that asks this worker; None if nothing came."""
        found = await self.exchange.asking.pull(
            Pull(client=client, max_messages=most, max_bytes=1 << 40), wait=wait, anonymous=False, wish=Wish()
        )
        if isinstance(found, Empty):
            return None
        if isinstance(found, Relayed):
            found.confirm()
            return msgspec.msgpack.decode(found.body or b"", type=Taken)
        return _taken(found)

    async def ack(self, taken: Taken) -> int:
        """Ack all of an answer; how many messages that were."""
        entry = Entry(token="t", ref=BatchRef(taken.partition, taken.batch))
        return (await self.exchange.settling.settle(Settle(ack=[entry]))).acked


def _taken(answer: Answer) -> Taken:
    run = answer.runs[0]
    return Taken(run.partition, answer.batch, run.messages[0].timestamp)


def _render(answer: Answer, wish: Wish) -> Rendered:
    return Rendered((("Content-Type", "application/json"),), msgspec.msgpack.encode(_taken(answer)))


def _raise(error: BaseException) -> None:
    raise error
