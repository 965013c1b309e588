"""A leader that ZooKeeper or Kafka cannot reach any more, and comes back; `bug-cases` D11 with its control."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import aiohttp

from support.cable import Cable
from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.leaders import Leaders, leader_records, stale
from support.stack import Stack
from support.workers import READY_TOGETHER, Worker, Workers

#: Seconds; short, since D11 is about twice as long.
SESSION = 4.0
#: The session and 3 s; the rest is a busy machine's allowance.
WITHIN = SESSION + 3.0 + 6.0


@dataclass(frozen=True, slots=True)
class Cut:
    """A worker with its ways to the servers."""

    worker: Worker
    to_zookeeper: Cable
    to_kafka: Cable


@asynccontextmanager
async def cut_off_at_will(
    workers: Workers, stack: Stack, topic: str, faults: Sequence[Sequence[str]]
) -> AsyncIterator[list[Cut]]:
    """As many workers as there are lists of faults; the first is to be ready before the others start."""
    async with AsyncExitStack() as cables:
        made: list[Cut] = []
        for extra in faults:
            zookeeper = await cables.enter_async_context(Cable.to(stack.zookeepers))
            kafka = await cables.enter_async_context(Cable.to(stack.brokers))
            through = f"kafka-through={kafka.address.rpartition(':')[2]}"
            worker = workers.launch(
                topic,
                drain="0s",
                faults=[through, *extra],
                zookeepers=zookeeper.address,
                zookeeper_timeout=f"{SESSION:g}s",
            )
            made.append(Cut(worker, zookeeper, kafka))
            if len(made) == 1:
                await worker.ready(READY_TOGETHER)
        await asyncio.gather(*(one.worker.ready(READY_TOGETHER) for one in made))
        yield made
        # Whoever waits for a cut cable while it ends would wait for long.
        for worker in workers.all:
            worker.close()


async def test_d11_the_session_expires_and_comes_back(
    kafka: Kafka, workers: Workers, client: MakeClient, stack: Stack, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(2)
    async with cut_off_at_will(workers, stack, topic, [[], []]) as (one, two):
        leaders = Leaders(session, [one.worker, two.worker])
        first = await leaders.settled(READY_TOGETHER)
        if first.by is two.worker:
            one, two = two, one
        a = client(one.worker, "a")

        async with leaders.watched():
            one.to_zookeeper.cut()
            cut = monotonic()
            second = await leaders.settled(WITHIN, after=first)
            assert second.by is two.worker

            # It goes on with what needs no leader.
            for partition in await one.worker.partitions():
                await kafka.produce(topic, f"to-{partition}", partition=partition)
                taken = (await a.pull()).one
                assert (await a.ack(taken.lease)).acked == 1

            await asyncio.sleep(max(0.0, cut + 2 * SESSION - monotonic()))
            one.to_zookeeper.mend()
            mended = await leaders.settled(WITHIN)
            assert mended.worker == second.worker
        assert leaders.overlaps() == []
        assert stale(await leader_records(kafka, one.worker)) == []

        await two.worker.terminate()
        third = await leaders.settled(WITHIN, two.worker)
        assert (first.epoch or 0) < (second.epoch or 0) < (third.epoch or 0)


async def test_d11_a_leader_that_believes_its_lock_is_found_out(
    kafka: Kafka, workers: Workers, stack: Stack, session: aiohttp.ClientSession
) -> None:
    """The control: what the test above looks for is there to be found when a leader goes by its lock alone."""
    topic = await kafka.new_topic(2)
    async with cut_off_at_will(workers, stack, topic, [["believes-its-lock"], []]) as (one, two):
        leaders = Leaders(session, [one.worker, two.worker])
        first = await leaders.settled(READY_TOGETHER)
        assert first.by is one.worker, "it was there first"
        async with leaders.watched():
            one.to_zookeeper.cut()
            # Nobody misses it, so the session has to end before the other one leads.
            await _acts(leaders, two.worker)
            await eventually(leaders.overlaps)

            async def is_stale() -> bool:
                return stale(await leader_records(kafka, one.worker)) != []

            await eventually(is_stale)


async def _acts(leaders: Leaders, worker: Worker) -> None:
    ends = monotonic() + WITHIN + 3.0
    while not (await leaders.ask(worker)).acting:
        assert monotonic() < ends
        await asyncio.sleep(0.05)


async def test_one_that_kafka_does_not_hear_leads_no_more(
    kafka: Kafka, workers: Workers, stack: Stack, session: aiohttp.ClientSession
) -> None:
    topic = await kafka.new_topic(3)
    async with cut_off_at_will(workers, stack, topic, [[], [], []]) as made:
        leaders = Leaders(session, [one.worker for one in made])
        first = await leaders.settled(READY_TOGETHER)
        (one,) = [cut for cut in made if cut.worker is first.by]
        async with leaders.watched():
            one.to_kafka.cut()
            second = await leaders.settled(WITHIN, one.worker)
            assert not (await leaders.ask(one.worker)).acting
            assert not (await leaders.ask(one.worker)).me
            one.to_kafka.mend()
            mended = await leaders.settled(READY_TOGETHER)
        assert (first.epoch or 0) < (second.epoch or 0)
        assert mended.worker == second.worker
        assert leaders.overlaps() == []
        late = stale(await leader_records(kafka, one.worker))
        # It is sent again by a client that has had no answer; whoever went on leading would have sent six and more.
        assert len(late) <= 2, "what was under way when it was cut"
