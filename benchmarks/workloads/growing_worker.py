"""A real worker in the states of the workload growth: started anew for each measurement, with a new id."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.clients import Puller, get
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.worker import Worker, workers
from benchmarks.workloads.drained import Load, drained, warm_kafka

#: The most gaps that there are; each has one message in flight and one settled.
GAPS = 100_000
SIZE = 100
PARTITIONS, CLIENTS = 4, 4
#: A pull takes so many at most, and a settle has so many entries at most.
AT_ONCE = 1000
#: The same, and the messages of each point, with `--quick`.
QUICK_GAPS = 2000
QUICK_MESSAGES = 4000
#: Limits that the held messages would meet.
UNLIMITED = ("--max-ack-pending", "1000000", "--client-limit", "1000000", "--buffer-bytes", "16GiB")
#: Milliseconds for which the gaps are held: longer than any measurement.
HELD_FOR = 1_800_000


@dataclass(frozen=True)
class OfWorker:
    """A curve of a worker: what grows, and what is the same at all points."""

    #: "clients", "partitions", "gaps" or "waiting".
    grows: str
    sizes: Sequence[int]
    quick_sizes: Sequence[int]
    batch: int
    #: Of each point; where messages that wait grow it is the size itself.
    messages: int

    @property
    def name(self) -> str:
        return f"{self.grows}, worker, {self.batch} a pull"


@dataclass(frozen=True)
class Point:
    """What a worker has to do with in one measurement."""

    partitions: int
    #: None where the load's messages are the first ones of the topic, and there is no room for gaps below them.
    gaps: int | None
    load: Load


def point_of(curve: OfWorker, size: int, *, quick: bool) -> Point:
    """Raises ValueError for what is not known to grow."""
    load = Load(QUICK_MESSAGES if quick else curve.messages, CLIENTS, curve.batch)
    match curve.grows:
        case "clients":
            return Point(PARTITIONS, None, replace(load, clients=size))
        case "partitions":
            return Point(size, None, load)
        case "gaps":
            return Point(1, size, load)
        case "waiting":
            return Point(PARTITIONS, None, replace(load, messages=size))
    raise ValueError(f"nothing known that grows and is called {curve.grows!r}")


class Growing:
    """Measures points; a topic is filled once and used by all that need one like it."""

    def __init__(self, stack: KafkaStack, where: Path, *, quick: bool) -> None:
        self._stack = stack
        self._where = where
        self._quick = quick
        self._most_gaps = QUICK_GAPS if quick else GAPS
        self._filled: set[str] = set()

    async def measure(self, curve: OfWorker, size: int) -> float:
        """us of the worker's CPU a message."""
        point = point_of(curve, size, quick=self._quick)
        topic = await (self._topic(point) if point.gaps is None else self._topic_above_gaps(point))
        options = () if point.gaps is None else UNLIMITED
        async with workers(self._stack, topic, self._where, *options) as some:
            worker = some.members[0]
            if point.gaps is not None:
                await open_gaps(worker, point.gaps, self._most_gaps, point.load.messages)
            return (await drained([worker.port], point.load, {"worker": [worker.pid]})).us("worker")

    async def _topic(self, point: Point) -> str:
        topic = f"growth-{point.partitions}-{point.load.messages}"
        if topic not in self._filled:
            await self._stack.fill(topic, messages=point.load.messages, size=SIZE, partitions=point.partitions)
            self._filled.add(topic)
        return topic

    async def _topic_above_gaps(self, point: Point) -> str:
        """The messages of the load, numbered from 0, stand behind those of the gaps, of which it knows nothing."""
        topic = "growth-gaps"
        if topic not in self._filled:
            await self._stack.fill(topic, messages=2 * self._most_gaps, size=SIZE, partitions=1)
            await self._stack.produce(topic, messages=point.load.messages, size=SIZE, partitions=1)
            self._filled.add(topic)
        return topic


@asynccontextmanager
async def growing(where: Path, *, quick: bool) -> AsyncIterator[Growing]:
    """On a Kafka of its own."""
    async with warm_kafka(where, quick=quick) as stack:
        yield Growing(stack, where, quick=quick)


async def open_gaps(worker: Worker, gaps: int, most: int, further: int) -> None:
    """Take the first ``2 * most`` messages; hold every second one of the first ``2 * gaps``, and ack all others.

    Returns when the ``further`` messages behind them are fetched as well: that is the same at any number of gaps, and
    it would not be if some were fetched while the load runs. Raises RuntimeError where the gaps are others than that.
    """
    holder = await Puller.connect(worker.port, "holder")
    taken = 0
    while taken < 2 * most:
        answer = await holder.pull(min(AT_ONCE, 2 * most - taken), ack_wait_ms=HELD_FOR)
        messages = answer["messages"]
        done = [one["lease"] for one in messages if one["offset"] % 2 or one["offset"] >= 2 * gaps]
        settled = await holder.settle(ack=done)
        if settled["acked"] != len(done):
            raise RuntimeError(f"{len(done)} to ack: {settled}")
        taken += len(messages)
    # It needs somebody who asks, or nothing more is fetched.
    row = await _partition(worker)
    while row["next_offset"] < 2 * most + further:
        await holder.settle(extend=[])
        row = await _partition(worker)
    if row["in_flight"] != gaps or row["settled_above_floor"] != gaps + 2 * (most - gaps) * (gaps > 0):
        raise RuntimeError(f"{gaps} gaps were to be opened: {row}")


async def _partition(worker: Worker) -> dict[str, int]:
    row: dict[str, int] = (await get(worker.port, "/v1/partitions"))["partitions"][0]
    return row
