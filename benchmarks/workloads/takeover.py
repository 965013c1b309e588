"""How long partitions stand still when one of two workers is killed or told to leave, and when one comes.

All the while a message a partition is written every 50 ms, and one client at each worker takes and acks what comes.
A hand-over is looked at from outside: by when messages of a partition arrive at clients. What arrives just after a
worker was killed may have been on its way from there, so a partition is handed out again at the end of its longest
pause, and not with the first message after the signal.
"""

from __future__ import annotations

import asyncio
import re
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

from aiokafka import AIOKafkaProducer

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import end
from benchmarks.peers.worker import Worker, Workers, workers
from benchmarks.support import post
from benchmarks.workloads.drained import kafka
from benchmarks.workloads.workload import CannotBeRun, Ratio, Round, Row, Workload

SYSTEM = "fanout"
PARTITIONS, QUICK_PARTITIONS = 16, 4
#: How often each happens in a round, and in a quick one.
TURNS, QUICK_TURNS = 3, 1
#: Seconds between two messages of a partition.
EVERY = 0.05
#: Seconds for which each partition has been handed out all the time when nothing more is expected to happen.
CALM = 1.0
CALM_WITHIN = 60.0
KILLED, LEAVES, JOINS = "killed (kill -9)", "leaves (SIGTERM)", "joins"
_PARTITION = re.compile(rb'"partition":(\d+),')
_BATCH = re.compile(rb'"batch":"([^"]+)"')


class Arrivals:
    """When messages of which partition came to a client, whichever it was."""

    def __init__(self) -> None:
        self._came: dict[int, list[float]] = defaultdict(list)

    def note(self, now: float, partitions: Iterable[int]) -> None:
        """Messages of these came; times never go back."""
        for partition in partitions:
            self._came[partition].append(now)

    def calm(self, partitions: int, now: float) -> bool:
        """Whether each of so many partitions has been handed out without a pause for a while."""
        return len(self._came) == partitions and all(
            _longest([now - CALM, *(at for at in times[-100:] if at > now - CALM), now])[0] < CALM / 2
            for times in self._came.values()
        )

    def pauses(self, moment: float) -> Mapping[int, tuple[float, float]]:
        """Of each partition's longest pause that was not over at a moment: how long it was, and when it was over.

        Seconds, the second from that moment on; pauses between messages that come all the time count as well.
        """
        found = {}
        for partition, times in self._came.items():
            before = [at for at in times if at <= moment]
            length, over = _longest([*before[-1:], *(at for at in times if at > moment)])
            found[partition] = (length, over - moment)
        return found


def _longest(times: Sequence[float]) -> tuple[float, float]:
    """The longest time between two neighbours, and when it was over."""
    return max((later - at, later) for at, later in pairwise(times))


class Scene:
    """Two workers at work, with a client at each."""

    def __init__(self, cluster: Workers, partitions: int) -> None:
        self._cluster = cluster
        self._partitions = partitions
        self._clients: dict[int, asyncio.Task[None]] = {}
        self.arrivals = Arrivals()

    def attach(self, member: Worker) -> None:
        """A client asks this worker from now on."""
        self._clients[member.port] = asyncio.create_task(self._take(member.port))

    async def detach(self, *ports: int) -> None:
        for port in ports or tuple(self._clients):
            client = self._clients.pop(port)
            client.cancel()
            with suppress(asyncio.CancelledError):
                await client

    async def _take(self, port: int) -> None:
        """Take and ack whatever this worker hands out, for as long as it is there."""
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
                try:
                    await self._take_by(reader, writer, b"c%d" % port)
                finally:
                    writer.close()
            await asyncio.sleep(0.02)

    async def _take_by(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: bytes) -> None:
        settle = b""
        while True:
            body = b'{"client":"%b","max_messages":1000,"wait_ms":2000%b}' % (name, settle)
            status, answer = await post(reader, writer, "/v1/pull", body)
            if status == 503:
                return
            self.arrivals.note(time.monotonic(), {int(number) for number in _PARTITION.findall(answer)})
            token = _BATCH.search(answer)
            settle = b',"settle":{"ack":["%b"]}' % token[1] if token else b""

    async def calm(self) -> None:
        """Wait until the workers have their shares and everything is handed out. Raises TimeoutError."""
        await self._cluster.settled(self._partitions)
        until = time.monotonic() + CALM_WITHIN
        while not self.arrivals.calm(self._partitions, time.monotonic()):
            if time.monotonic() > until:
                raise TimeoutError(f"not all of {self._partitions} partitions are handed out again")
            await asyncio.sleep(0.1)

    async def goes(self, number: int) -> Sequence[tuple[float, float]]:
        """One of the workers gets a signal; the pauses of the partitions that it had."""
        member = self._cluster.members[0]
        had = (await self._cluster.settled(self._partitions))[member.port]
        moment = time.monotonic()
        member.process.send_signal(number)
        self._cluster.members.remove(member)
        try:
            await self.calm()
        finally:
            await self.detach(member.port)
            await end(member.process)
        pauses = self.arrivals.pauses(moment)
        return [pauses[partition] for partition in had]

    async def comes(self) -> Sequence[tuple[float, float]]:
        """A second worker starts; the pauses of all partitions, each of which stops in a rebalance."""
        moment = time.monotonic()
        self.attach(await self._cluster.start())
        await self.calm()
        return list(self.arrivals.pauses(moment).values())


@asynccontextmanager
async def scene(stack: KafkaStack, topic: str, given: Round, partitions: int) -> AsyncIterator[Scene]:
    """Two workers that have had everything for a while."""
    async with workers(stack, topic, given.where, count=2) as cluster, producing(stack, topic, partitions):
        one = Scene(cluster, partitions)
        try:
            for member in cluster.members:
                one.attach(member)
            await one.calm()
            yield one
        finally:
            await one.detach()


@asynccontextmanager
async def producing(stack: KafkaStack, topic: str, partitions: int) -> AsyncIterator[None]:
    """A message a partition, again and again."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.brokers)
    await producer.start()

    async def produce() -> None:
        while True:
            for partition in range(partitions):
                await producer.send(topic, b"x" * 100, partition=partition)
            await asyncio.sleep(EVERY)

    task = asyncio.create_task(produce())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await producer.stop()


class Takeover:
    """A worker is killed, another one comes, one leaves, and one comes again."""

    name = "takeover"
    title = f"Of two workers one goes or comes, {PARTITIONS} partitions: how long messages are not handed out"
    with_peers = False
    ratios: Sequence[Ratio] = ()

    async def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
        if not any(given.wants(case) for case in (KILLED, LEAVES, JOINS)):
            return
        partitions, turns = (QUICK_PARTITIONS, QUICK_TURNS) if given.quick else (PARTITIONS, TURNS)
        pauses: dict[str, list[tuple[float, float]]] = {KILLED: [], LEAVES: [], JOINS: []}
        async with kafka() as stack:
            await stack.create("takeover", partitions)
            async with scene(stack, "takeover", given, partitions) as one:
                for _ in range(turns):
                    for case, number in ((KILLED, signal.SIGKILL), (LEAVES, signal.SIGTERM)):
                        pauses[case] += await one.goes(number)
                        pauses[JOINS] += await one.comes()
        for case, some in pauses.items():
            yield row_of(case, some)


def row_of(case: str, pauses: Sequence[tuple[float, float]]) -> Row:
    """Over all partitions concerned and all turns. Of a worker that comes there is no signal to count from."""
    lengths = [length for length, _ in pauses]
    figures = {"pause p50 s": statistics.median(lengths), "pause max s": max(lengths)}
    if case != JOINS:
        over = [moment for _, moment in pauses]
        figures = {"handed out again p50 s": statistics.median(over), "handed out again max s": max(over), **figures}
    return Row(SYSTEM, case, figures, {"pauses": f"{len(pauses)}, of a partition each"})


WORKLOAD: Workload = Takeover()
