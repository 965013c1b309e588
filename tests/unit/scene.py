"""A worker's runtime with nothing real around it, and short words for what happens to it."""

from __future__ import annotations

import asyncio

from fanout_app.cluster.ports import Rendered
from fanout_app.cluster.relayed import Relayed
from fanout_app.core.dispatcher import Limits
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Empty, Entry, LeaseRef, Pull, Settle, SettleOutcome
from fanout_app.options import from_environment
from fanout_app.runtime import Runtime
from unit.fake_ports import LONG, FakeKafka, FakeTerms, fetch, without_leader


class Scene:
    """A runtime that owns partitions 0 and 1, which are empty."""

    def __init__(self, limits: Limits) -> None:
        self.kafka = FakeKafka()
        self.terms = FakeTerms()
        self.faults: list[BaseException] = []
        self.runtime = Runtime(from_environment(), worker="w", limits=limits)
        without_leader(self.runtime)
        self.runtime.connect(
            source=self.kafka,
            starts=self.kafka,
            terms=self.terms,
            store=self.kafka,
            bodies=self.kafka,
            dead_letters=self.kafka,
            switch=self.kafka,
            render=lambda answer, wish: Rendered((), b""),
            on_fault=self.faults.append,
        )

    async def own(self, *numbers: int) -> None:
        self.rebalance(*numbers)
        await self.runtime.start(set(numbers))

    def rebalance(self, *numbers: int) -> None:
        self.terms.begin_rebalance()
        self.runtime.suspend()
        self.runtime.assigned(set(numbers), self.runtime.generation + 1)

    async def arrive(self, *offsets: int, number: int = 0) -> None:
        await self.runtime.take(fetch(number, self.runtime.dispatcher.partitions[number].next_offset, *offsets))

    def pulling(
        self, client: str = "A", count: int = 1, *, wait: float = LONG
    ) -> asyncio.Task[Answer | Relayed | Empty]:
        return asyncio.create_task(self.runtime.pull(Pull(client=client, max_messages=count), wait=wait))

    async def pull(self, client: str = "A", count: int = 1, *, wait: float = LONG) -> list[int]:
        """The offsets that it gets, which must be some."""
        return offsets(await self.answer(client, count, wait=wait))

    async def answer(self, client: str = "A", count: int = 1, *, wait: float = LONG) -> Answer:
        answer = await self.pulling(client, count, wait=wait)
        assert isinstance(answer, Answer)
        return answer

    async def taken_over(self, *offsets: int) -> Answer:
        """Messages that an earlier owner has handed out to A, and that are with A still."""
        await self.arrive(*offsets)
        answer = await self.answer("A", len(offsets))
        self.terms.begin_rebalance()
        await self.runtime.give_up()
        self.rebalance()
        await self.runtime.start(set())
        await self.own(0)
        return answer

    def settling(self, **lists: list[Entry]) -> asyncio.Task[SettleOutcome]:
        return asyncio.create_task(self.runtime.settle(Settle(**lists)))  # type: ignore[arg-type]

    async def stop(self) -> None:
        await self.runtime.stop()
        assert self.faults == []


def offsets(answer: Answer | Relayed | Empty) -> list[int]:
    assert isinstance(answer, Answer)
    return [message.offset for run in answer.runs for message in run.messages]


def entries(answer: Answer, **more: float | str) -> list[Entry]:
    return [
        Entry(
            token=f"{run.partition}/{message.offset}",
            ref=LeaseRef(run.partition, run.era, message.offset, run.delivery_count, run.batch),
            **more,  # type: ignore[arg-type]
        )
        for run in answer.runs
        for message in run.messages
    ]
