"""The world outside the runtime, for one worker without Kafka: every port in one object that does as a test says."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from fanout_app.assignment import Assignment
from fanout_app.canary import Canary
from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.group_row import GroupRow, Slot, decode_group_row, encode_group_row, slots_of
from fanout_app.core.group_start import start_groups
from fanout_app.core.ledger import LedgerSnapshot, join
from fanout_app.core.message import Message
from fanout_app.core.requests import Pull, SeekTo
from fanout_app.core.start import Known, Start
from fanout_app.group_commit import GroupCommit
from fanout_app.groups import Alone
from fanout_app.ledger_group import LedgerGroup
from fanout_app.runtime import Runtime
from fanout_app.tasks import Tasks
from support.eventually import eventually
from support.messages import messages

#: Far longer than anything here takes; only a test that fails waits for it.
LONG = 5.0


class Call(NamedTuple):
    """Something the runtime has asked of the world."""

    name: str
    partition: int | None = None
    what: Any = None


class Held:
    """A call that does not return before the test lets it."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> None:
        self._reached.set()
        await asyncio.shield(self._over)

    async def reached(self) -> None:
        """Wait until the runtime makes this call."""
        async with asyncio.timeout(LONG):
            await self._reached.wait()

    def go_on(self) -> None:
        self._over.set_result(None)

    def fail(self, error: Exception) -> None:
        self._over.set_exception(error)


class FakeKafka:
    """Source, starts, changelog, bodies, dead letters and switch. Rows that were written are where a start looks."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.rows: dict[int, list[LedgerSnapshot]] = {}
        self.slot_rows: dict[int, list[tuple[int, GroupRow]]] = {}
        self.starts: dict[int, Start] = {}
        self.log_starts: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self.id_of_topic = b""
        self.sought_to: dict[int, int] = {}
        self.lost: set[int] = set()
        self.put_away: list[tuple[int, int]] = []
        #: The groups that they were put away for, with ledgers of their own.
        self.put_away_for: list[str] = []
        self.member_id = "us"
        self._next: dict[str, deque[Held | Exception]] = {}

    def hold(self, name: str) -> Held:
        """Let the next call of this name wait; calls after it wait for what is said of them."""
        held = Held()
        self._next.setdefault(name, deque()).append(held)
        return held

    def fail(self, name: str, *errors: Exception) -> None:
        """Let the next calls of this name fail, each with one of these."""
        self._next.setdefault(name, deque()).extend(errors)

    def called(self, name: str) -> list[Call]:
        return [call for call in self.calls if call.name == name]

    async def _call(self, name: str, partition: int | None = None, what: Any = None) -> None:
        self.calls.append(Call(name, partition, what))
        planned = self._next.get(name)
        if planned:
            first = planned.popleft()
            if isinstance(first, Exception):
                raise first
            await first()

    # Source
    async def seek(self, partition: int, offset: int) -> None:
        await self._call("seek", partition, offset)

    async def log_start(self, partition: int) -> int:
        await self._call("log_start", partition)
        return self.log_starts.get(partition, 0)

    async def log_ends(self, partitions: Iterable[int]) -> dict[int, int]:
        wanted = list(partitions)
        await self._call("log_ends", None, wanted)
        return {number: self.ends[number] for number in wanted if number in self.ends}

    async def topic_id(self) -> bytes:
        await self._call("topic_id")
        return self.id_of_topic

    async def offsets_at(self, partitions: Iterable[int], to: SeekTo) -> dict[int, int]:
        wanted = list(partitions)
        await self._call("offsets_at", None, to)
        return {number: self.sought_to.get(number, 0) for number in wanted}

    async def commit(self, partition: int, floor: int, era: int) -> None:
        await self._call("commit", partition, (floor, era))

    def wake_up(self) -> None:
        self.calls.append(Call("wake_up"))

    def member(self) -> str:
        return self.member_id

    # Starts
    async def find(self, partitions: set[int]) -> dict[int, Start]:
        await self._call("find", None, set(partitions))
        return {number: self._start(number) for number in partitions}

    def _start(self, number: int) -> Start:
        rows = join(self.rows.get(number, ()))
        start = self.starts.get(number) or Start(rows or LedgerSnapshot(), write=rows is None)
        known = Known(row=rows, committed=None, committed_era=None, mirror=None, log_start=0, log_end=0, first_start=0)
        start.slots = start_groups(start, known, slots_of(self.slot_rows.get(number, ())))
        return start

    # LedgerStore
    async def write_row(self, partition: int, snapshot: LedgerSnapshot) -> int:
        await self._call("write_row", partition, snapshot)
        self.rows.setdefault(partition, []).append(snapshot)
        return 100

    async def write_slot(self, partition: int, number: int, slot: Slot) -> int:
        await self._call("write_slot", partition, (number, slot))
        row = encode_group_row(slot, id="a", topic="t", generation=1, counter=1)
        self.slot_rows.setdefault(partition, []).append((number, decode_group_row(row, id="a", topic="t")))
        return len(row)

    # Bodies
    async def read(self, partition: int, offsets: Sequence[int]) -> dict[int, Message]:
        await self._call("read", partition, list(offsets))
        return {message.offset: message for message in messages(offsets) if message.offset not in self.lost}

    # DeadLetterSink
    async def put(
        self, partition: int, message: Message, *, delivery_count: int, reason: str, client: str, group: str = ""
    ) -> None:
        await self._call("put", partition, (message.offset, delivery_count, reason, client))
        self.put_away.append((partition, message.offset))
        self.put_away_for.append(group)

    # Switch
    async def remember(self, *, paused: bool) -> bool:
        await self._call("remember", None, paused)
        return paused


class FakeTerms:
    """The consumer group as this worker sees it."""

    def __init__(self) -> None:
        self.number = 0
        self.rebalancing = True
        self.confirmed = True

    def begin_rebalance(self) -> None:
        self.number += 1
        self.rebalancing = True

    def term(self) -> int:
        return self.number

    def holds(self, term: int, now: float) -> bool:
        return term == self.number and not self.rebalancing and self.confirmed

    def trusted(self, now: float) -> bool:
        return self.confirmed

    def rebalance_ended(self, term: int) -> bool:
        if term == self.number:
            self.rebalancing = False
        return term == self.number


@dataclass
class FakeFetch:
    partition: int
    asked: int
    after: int
    messages: list[Message] = field(default_factory=list)


def fetch(partition: int, asked: int, *offsets: int, after: int | None = None) -> FakeFetch:
    """A fetch with a record at each of these offsets."""
    end = max(offsets, default=asked - 1) + 1 if after is None else after
    return FakeFetch(partition, asked, end, list(messages(offsets)))


class Worker:
    """The parts of the runtime that a test of one of them needs beside it. Made inside a loop."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.kafka = FakeKafka()
        self.terms = FakeTerms()
        self.faults: list[BaseException] = []
        self.served = 0
        self.tasks = Tasks(self.faults.append)
        batches = iter(range(1, 1 << 30))
        self.dispatcher = Dispatcher(limits or Limits(), new_batch=batches.__next__, jitter=lambda: 0.0)
        self.commit = GroupCommit(self.dispatcher, self.kafka, self.terms, self.faults.append)
        self.queue = LedgerGroup(self.dispatcher)
        self.queue.commit = self.commit
        self.assignment = Assignment(
            self.dispatcher,
            self.commit,
            source=self.kafka,
            starts=self.kafka,
            terms=self.terms,
            tasks=self.tasks,
            moved=asyncio.Event(),
            groups=Alone(self.queue),
            serve=self.serve,
        )

    def serve(self) -> None:
        self.served += 1

    def rebalance(self, *numbers: int, generation: int | None = None) -> None:
        """Up to the assignment of these partitions; `Assignment.start` comes next."""
        self.terms.begin_rebalance()
        self.assignment.suspend()
        self.assignment.assigned(set(numbers), self.assignment.generation + 1 if generation is None else generation)

    async def own(self, *numbers: int) -> None:
        """A whole rebalance that ends with these partitions."""
        self.rebalance(*numbers)
        assert await self.assignment.start(set(numbers))

    def offer(self, number: int, *offsets: int) -> None:
        asked = self.dispatcher.partitions[number].next_offset
        assert self.dispatcher.offer(number, asked, max(offsets) + 1, messages(offsets))

    def hand_out(self, client: str = "A", count: int = 1) -> list[int]:
        """The offsets that one pull gets at once."""
        now = monotonic()
        pull = Pull(client=client, max_messages=count)
        number = self.dispatcher.add_pull(now, pull)
        answers = dict(self.dispatcher.serve(now))
        if number not in answers:
            self.dispatcher.cancel_pull(number, now)
            return []
        return [message.offset for run in answers[number].runs for message in run.messages]

    async def stop(self) -> None:
        await self.tasks.stop()
        await self.commit.stop()
        assert self.faults == []


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until this is so."""
    await eventually(condition, LONG, 0.002)


def without_leader(runtime: Runtime) -> None:
    """Of this worker's cluster nobody leads, and the shares of groups are those of the beginning."""
    runtime.leading = cast(
        Any, SimpleNamespace(leader=lambda: None, acting_in=None, epoch=None, changes=0, may_act=lambda: False)
    )

    async def write(key: str, value: bytes) -> None:
        raise AssertionError("who does not lead writes nothing")

    def fail(error: BaseException) -> None:
        raise error

    runtime.canary = Canary(runtime.id, runtime.topic, runtime.leading, write, apply=runtime.share, on_fault=fail)
