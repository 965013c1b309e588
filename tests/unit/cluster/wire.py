"""Workers without Kafka, and connections between them that a test can cut, delay and look at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from fanout_app.cluster.frames import Frame, Wish
from fanout_app.cluster.ports import Rendered
from fanout_app.cluster.relayed import Relayed
from fanout_app.core.dispatcher import Limits
from fanout_app.core.lease import Answer
from fanout_app.core.requests import BatchRef, Empty, Entry, LeaseRef, Pull, Settle, SettleOutcome
from fanout_app.options import from_environment
from fanout_app.runtime import Runtime
from unit.fake_ports import LONG, FakeKafka, FakeTerms, fetch, without_leader

_codec: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Frame)


class End:
    """One end of a connection: a `Peer` of the worker that has it."""

    def __init__(self, mine: Member, other: Member) -> None:
        self.name = other.name
        self._mine = mine
        self._other = other
        self.twin: End
        self.cut = False
        self.delayed: list[Frame] | None = None
        self.sent: list[Frame] = []
        self.dropped = False

    def send(self, frame: Frame) -> None:
        # What cannot be put into bytes shows here.
        frame = _codec.decode(msgspec.msgpack.encode(frame))
        self.sent.append(frame)
        if self.delayed is not None:
            self.delayed.append(frame)
        else:
            asyncio.get_running_loop().call_soon(self._arrive, frame)

    def drop(self) -> None:
        self.dropped = True
        asyncio.get_running_loop().call_soon(self.lose)

    def _arrive(self, frame: Frame) -> None:
        if not self.cut:
            self._other.runtime.exchange.received(self.twin, frame)

    def delay(self) -> None:
        """What is sent from here on does not arrive before `flow`."""
        self.delayed = []

    def flow(self) -> None:
        delayed, self.delayed = self.delayed or [], None
        for frame in delayed:
            asyncio.get_running_loop().call_soon(self._arrive, frame)

    def lose(self) -> None:
        """The connection is lost: both ends notice."""
        for end in (self, self.twin):
            if not end.cut:
                end.cut = True
                end._mine.runtime.exchange.lost(end)


class Member:
    """A worker of the cluster."""

    def __init__(self, name: str, limits: Limits | None = None) -> None:
        self.name = name
        self.kafka = FakeKafka()
        self.terms = FakeTerms()
        self.faults: list[BaseException] = []
        self.runtime = Runtime(from_environment(), worker=name, limits=limits or Limits())
        without_leader(self.runtime)
        self.runtime.connect(
            source=self.kafka, starts=self.kafka, terms=self.terms, store=self.kafka, bodies=self.kafka,
            dead_letters=self.kafka, switch=self.kafka, render=_rendered, on_fault=self.faults.append,
        )  # fmt: skip

    @property
    def queue(self) -> Any:
        return self.runtime.dispatcher

    async def own(self, *numbers: int, generation: int | None = None) -> None:
        """A whole rebalance that ends with these partitions."""
        generation = self.runtime.generation + 1 if generation is None else generation
        self.terms.begin_rebalance()
        self.runtime.suspend()
        self.runtime.assigned(set(numbers), generation)
        await self.runtime.start(set(numbers))

    def join(self, other: Member) -> End:
        """Connect the two. Returns the end that is here."""
        here, there = End(self, other), End(other, self)
        here.twin, there.twin = there, here
        self.runtime.exchange.joined(here)
        other.runtime.exchange.joined(there)
        return here

    async def arrive(self, *offsets: int, number: int = 0) -> None:
        await self.runtime.take(fetch(number, self.queue.partitions[number].next_offset, *offsets))

    def pulling(
        self, client: str, count: int = 1, *, wait: float = LONG, group: str = "stable"
    ) -> asyncio.Task[Answer | Relayed | Empty]:
        pull = Pull(client=client, group=group, max_messages=count)
        return asyncio.create_task(self.runtime.pull(pull, wait=wait, wish=Wish(utf8=True)))

    async def pull(self, client: str, count: int = 1, *, wait: float = LONG) -> list[LeaseRef] | Empty:
        """The leases that it gets, confirmed."""
        return leases(await self.pulling(client, count, wait=wait))

    async def settle(self, durable: bool = True, **refs: Iterable[LeaseRef | BatchRef | None]) -> SettleOutcome:
        entries = {
            verb: [Entry(token=str(ref), ref=ref, delay=0.0) for ref in some] for verb, some in refs.items()
        }  # a token is what a lease looks like
        return await self.runtime.settle(Settle(durable=durable, **entries))

    def waits(self) -> int:
        """How many pulls wait at its queue."""
        return len(self.runtime.queue.pulls)

    async def stop(self) -> None:
        await self.runtime.stop()
        assert self.faults == []


def in_body(answer: Relayed) -> list[LeaseRef]:
    return [LeaseRef._make(fields) for fields in msgspec.msgpack.decode(answer.body or b"")]


def leases(answer: Answer | Relayed | Empty) -> list[LeaseRef] | Empty:
    """The client has it now."""
    if isinstance(answer, Relayed):
        answer.confirm()
        return in_body(answer)
    if isinstance(answer, Answer):
        return refs(answer)
    return answer


def refs(answer: Answer) -> list[LeaseRef]:
    return [
        LeaseRef(run.partition, run.era, message.offset, run.delivery_count, run.batch)
        for run in answer.runs
        for message in run.messages
    ]


def offsets(some: Sequence[LeaseRef] | Empty) -> list[tuple[int, int]]:
    assert not isinstance(some, Empty), some
    return [(ref.partition, ref.offset) for ref in some]


def _rendered(answer: Answer, wish: Wish) -> Rendered:
    return Rendered((("Wished", str(wish.utf8)),), msgspec.msgpack.encode(refs(answer)))
