"""Pulls that wait: what they cost while nothing comes, and how fast they are when something does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clients import Puller, get
from benchmarks.peers import confluent
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.pacing import kafka_producer, paced_run
from benchmarks.peers.processes import (
    Pids,
    end,
    free_port,
    launch,
    load_generator,
    output_of,
    pids_argument,
    run_of,
    tail,
)
from benchmarks.peers.system import CannotRun, Paced, Run
from benchmarks.peers.worker import Worker, command_of, workers
from benchmarks.support import cpu_seconds, rss_bytes
from benchmarks.workloads.workload import CannotBeRun, Ratio, Round, Row, Workload

WAITING = (1_000, 10_000)
PARTITIONS = 4
#: Seconds that a pull waits, the most there is; first ones wait for less, so that later ones are spread evenly.
WAIT = 50
#: Above what --max-waiting is by default, which is as many as the larger case has.
OPTIONS = ("--max-waiting", "12000")
#: Messages a second, and seconds, of the paced wake-ups.
RATE = 100
SECONDS, QUICK_SECONDS = 10.0, 2.0
#: Faster than any producer is: all at once.
AT_ONCE = 1_000_000
#: Seconds: until memory is measured, and in which CPU is.
SETTLING, QUICK_SETTLING = 5.0, 1.0
IDLING, QUICK_IDLING = 20.0, 3.0
#: Seconds in which all pulls have to wait, and in which the first message has to come.
PATIENCE = 60.0
#: New clusters, one after the other.
STARTS, QUICK_STARTS = 5, 2

KB, CORE, CORE_BEFORE = "kB/pull", "% of a core, idle", "% of a core, no pulls"
FIRST = "s to the first message, the longest"
NEW_CLUSTER = "a new cluster"
NOTES = {
    "kB/pull": "resident memory of the worker above that before, of 1,000 bytes; without the kernel's for sockets",
    "idle": f"no message comes; each pull waits {WAIT} s and is asked anew, evenly spread over that time",
    "wake-up": f"one message at a time, {RATE} a second: from the producer's stamp until a client has read the answer",
    "all at once": "as many messages as pulls that wait, as fast as the producer is; timed in the same way",
}
FIRST_NOTES = {
    "first message": "from when /readyz says so to the first message at a client that asks then; a new id each time",
    "ready": "from the start of the process to when /readyz says so",
}


def case_of(pulls: int) -> str:
    """How it is called in the results."""
    return f"{pulls:,} waiting pulls"


class Idle:
    """A worker of a new id for each case, and a topic of its own."""

    name = "idle"
    title = f"Pulls that wait while nothing comes, and then something does; {PARTITIONS} partitions"
    with_peers = False
    ratios: Sequence[Ratio] = (
        Ratio("1,000 waiting pulls: memory of each, of 15 kB", ("fanout", case_of(1_000), KB), 15.0, at_most=1.0),
        Ratio("1,000 waiting pulls: CPU, of 2 % of a core", ("fanout", case_of(1_000), CORE), 2.0, at_most=1.0),
        Ratio("a new cluster: the first message, of 1 s", ("fanout", NEW_CLUSTER, FIRST), 1.0, at_most=1.0),
    )

    async def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
        kafka = KafkaStack()
        try:
            load = await load_generator()
            await confluent.install()
            await kafka.start()
            for pulls in WAITING:
                if given.wants(case_of(pulls)):
                    yield await _WaitingPulls(kafka, load, given, pulls).measured()
            if given.wants(NEW_CLUSTER):
                yield await _new_clusters(kafka, given)
        except CannotRun as cannot:
            yield CannotBeRun("fanout", "", str(cannot))
        finally:
            await kafka.stop()


@dataclass(frozen=True)
class Idling:
    """What a worker uses while nothing happens."""

    rss: int
    #: Of a core.
    share: float

    @classmethod
    async def of(cls, pid: int, *, quick: bool) -> Idling:
        """Measured now, for a while."""
        await asyncio.sleep(QUICK_SETTLING if quick else SETTLING)
        rss, cpu, began = rss_bytes(pid), cpu_seconds(pid), time.monotonic()
        await asyncio.sleep(QUICK_IDLING if quick else IDLING)
        return cls(rss, (cpu_seconds(pid) - cpu) / (time.monotonic() - began))


class _WaitingPulls:
    def __init__(self, kafka: KafkaStack, load: Path, given: Round, pulls: int) -> None:
        self._kafka = kafka
        self._load = load
        self._given = given
        self._pulls = pulls
        self._waiting: Idling | None = None

    async def measured(self) -> Row:
        """Raises RuntimeError where not all pulls wait."""
        quick = self._given.quick
        one_by_one = Paced(RATE, QUICK_SECONDS if quick else SECONDS, clients=self._pulls, batch=1, settled=0.0)
        at_once = Paced(AT_ONCE, self._pulls / AT_ONCE, clients=self._pulls, batch=1, warm_up=0.0)
        topic = f"idle-{self._pulls}"
        await self._kafka.create(topic, PARTITIONS)
        async with workers(self._kafka, topic, self._given.where, *OPTIONS) as some:
            await some.settled(PARTITIONS)
            (worker,) = some
            await _warmed(worker)
            nobody = await Idling.of(worker.pid, quick=quick)
            woken = await self._woken(topic, worker, one_by_one)
            burst = await self._woken(topic, worker, at_once)
        assert self._waiting
        return row_of(self._pulls, nobody, self._waiting, woken, burst)

    async def _woken(self, topic: str, worker: Worker, paced: Paced) -> Run:
        async def all_wait() -> bool:
            # One may be on its way to be asked anew.
            if await worker.waiting_pulls() < 0.99 * self._pulls:
                return False
            # The first time: later there is also what waking up has left behind.
            self._waiting = self._waiting or await Idling.of(worker.pid, quick=self._given.quick)
            return True

        producer = kafka_producer(topic, paced, self._kafka.brokers)
        return await paced_run(paced, producer, self._clients(worker, paced), all_wait)

    async def _clients(self, worker: Worker, paced: Paced) -> Run:
        pids: Pids = {"server": [worker.pid], "broker": self._kafka.broker_pids()}
        command = [
            str(self._load), "drain", "-urls", worker.url, "-stamped", "-apart", "-messages", str(paced.messages),
            "-uncounted", str(paced.uncounted), "-clients", str(paced.clients), "-batch", "1",
            "-wait", f"{WAIT}s", "-spread", "-ramp", "500us", "-patience", "300s", "-pids", pids_argument(pids),
        ]  # fmt: skip
        return run_of(json.loads(await output_of(command)))


def row_of(pulls: int, nobody: Idling, waiting: Idling, woken: Run, burst: Run) -> Row:
    """`woken` of messages that came one by one, `burst` of as many as there are pulls."""
    one, all_ = woken.latencies["hand-out"], burst.latencies["hand-out"]
    figures = {
        KB: (waiting.rss - nobody.rss) / pulls / 1000,
        CORE: waiting.share * 100,
        CORE_BEFORE: nobody.share * 100,
        "wake-up p50 ms": one.p50,
        "wake-up p99 ms": one.p99,
        "producer's ack p50 ms": woken.latencies["produced"].p50,
        "producer's ack p99 ms": woken.latencies["produced"].p99,
        "all at once p50 ms": all_.p50,
        "all at once p99 ms": all_.p99,
        "messages": float(woken.messages),
    }
    return Row("fanout", case_of(pulls), figures, NOTES)


async def _warmed(worker: Worker) -> None:
    """What a worker needs once, whoever asks, is no pull's memory."""
    puller = await Puller.connect(worker.port, "the first one")
    await puller.pull(1, wait_ms=100)
    puller.close()


async def _new_clusters(kafka: KafkaStack, given: Round) -> Row:
    topic = "new-cluster"
    await kafka.fill(topic, messages=PARTITIONS, size=100, partitions=PARTITIONS)
    starts = [await _started(kafka, topic, given.where) for _ in range(QUICK_STARTS if given.quick else STARTS)]
    return new_cluster_row(starts)


def new_cluster_row(starts: Sequence[tuple[float, float]]) -> Row:
    """`starts`: seconds until ready, and from then to the first message, of each start."""
    ready, first = (sorted(part) for part in zip(*starts, strict=True))
    figures = {
        FIRST: first[-1],
        "s to the first message, p50": first[len(first) // 2],
        "s to be ready, p50": ready[len(ready) // 2],
    }
    return Row("fanout", NEW_CLUSTER, figures, FIRST_NOTES)


async def _started(kafka: KafkaStack, topic: str, where: Path) -> tuple[float, float]:
    """Raises RuntimeError where the worker does not get ready, or no message comes."""
    id, port = f"bench{time.time_ns()}", free_port()
    log = where / f"{id}.log"
    began = time.monotonic()
    process = launch(command_of(kafka, id, topic, port), log)
    try:
        while not await _ready(port):
            if process.poll() is not None or time.monotonic() > began + PATIENCE:
                raise RuntimeError(f"the worker does not get ready: {tail(log)}")
            await asyncio.sleep(0.005)
        ready = time.monotonic()
        puller = await Puller.connect(port, "the first one")
        answer = await puller.pull(1, wait_ms=20_000)
        first = time.monotonic()
        puller.close()
        if not answer["messages"]:
            raise RuntimeError(f"no message came within {first - ready:.1f} s: {tail(log)}")
        return ready - began, first - ready
    finally:
        await end(process)


async def _ready(port: int) -> bool:
    # Nobody listens yet, or says 503.
    with suppress(OSError, RuntimeError):
        await get(port, "/readyz")
        return True
    return False


WORKLOAD: Workload = Idle()
