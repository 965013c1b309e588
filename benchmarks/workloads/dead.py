"""Clients that take messages and never ack them: how long until the others have had everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time

from benchmarks.clients import Puller
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.percentiles import percentiles
from benchmarks.peers.system import CannotRun
from benchmarks.peers.worker import workers
from benchmarks.workloads.workload import CannotBeRun, Ratio, Round, Row, Workload

CLIENTS, DEAD = 100, 10
PARTITIONS = 4
SIZE = 100
BATCH = 10
LEASE_MS = 2_000
MESSAGES = 20_000
QUICK_MESSAGES = 2_000
#: Seconds in which everything has to be handed over.
PATIENCE = 60.0
WHO = f"{DEAD} of {CLIENTS} clients"
#: Each takes one batch, and its connection closes.
DIE = f"{WHO} die with a batch, leases of {LEASE_MS // 1000} s"
#: Each pulls again at once, as long as there is something.
HOARD = f"{WHO} pull on and never ack, leases of {LEASE_MS // 1000} s"
TO_THE_LAST, IDEAL, OVER = "s to the last hand-over", "ideal s", "times the ideal"
NOTES = {
    "last hand-over": "of a message to a client that acks it, from the first hand-out of all",
    "ideal": "a client that acks has each message when it is first handed out, or a lease later where that was to one "
    "that does not",
    "after the lease": "from when the first lease of a message ended to when a client that acks it had it",
    "batch": f"{BATCH} messages; acks ride on the next pull",
}

#: Partition and offset.
Key = tuple[int, int]


@dataclass
class _Course:
    """Of one message."""

    first: float
    #: When a client that acks could have had it: then, or at the end of that lease.
    due: float
    to_a_dead_one: bool
    #: When a client had it that acks.
    done: float | None = None


class HandOuts:
    """Who was handed what, and when; times are seconds of the machine's clock, which the worker has as well."""

    def __init__(self) -> None:
        self._courses: dict[Key, _Course] = {}
        self._again = 0
        #: Messages that clients had that ack.
        self.done = 0

    def note(self, key: Key, at: float, lease_ends: float, *, dead: bool) -> None:
        """A hand-out, to a client that never acks or to another."""
        course = self._courses.get(key)
        if course is None:
            course = self._courses[key] = _Course(at, lease_ends if dead else at, dead)
        else:
            self._again += 1
        if not dead and course.done is None:
            course.done = at
            self.done += 1

    def figures(self) -> Mapping[str, float]:
        """Raises ValueError as long as there is a message that only dead clients had."""
        began = min(course.first for course in self._courses.values())
        last = ideal = began
        late: list[float] = []
        for key, course in self._courses.items():
            if course.done is None:
                raise ValueError(f"partition {key[0]}, offset {key[1]}: no client had it that acks")
            last, ideal = max(last, course.done), max(ideal, course.due)
            if course.to_a_dead_one:
                late.append(course.done - course.due)
        after = percentiles(late)
        return {
            TO_THE_LAST: last - began,
            IDEAL: ideal - began,
            OVER: (last - began) / (ideal - began),
            "after the lease p50 ms": after.p50,
            "after the lease p99 ms": after.p99,
            "messages": float(len(self._courses)),
            "first to a dead client": float(len(late)),
            "handed out again": float(self._again),
        }


class DeadClients:
    """One worker of a new id for each case, and one topic."""

    name = "dead"
    title = f"{WHO} never ack: time until the others have had everything; {PARTITIONS} partitions"
    with_peers = False
    ratios: Sequence[Ratio] = ()

    async def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
        messages = QUICK_MESSAGES if given.quick else MESSAGES
        kafka = KafkaStack()
        try:
            await kafka.start()
            await kafka.fill("dead", messages=messages, size=SIZE, partitions=PARTITIONS)
            for case, dead in ((DIE, _die), (HOARD, _hoard)):
                if given.wants(case):
                    async with workers(kafka, "dead", given.where) as some:
                        await some.settled(PARTITIONS)
                        (worker,) = some
                        handed = await _handed_over(worker.port, messages, dead)
                    yield Row("fanout", case, handed.figures(), NOTES)
        except CannotRun as cannot:
            yield CannotBeRun("fanout", "", str(cannot))
        finally:
            await kafka.stop()


async def _handed_over(port: int, messages: int, dead: Callable[[Puller, HandOuts], Awaitable[None]]) -> HandOuts:
    """Raises TimeoutError when not everything comes."""
    handed = HandOuts()
    everything = asyncio.Event()
    pullers = [await Puller.connect(port, f"client {number}") for number in range(CLIENTS)]
    # The dead ones ask first, so that each of them has something; all others at once after that.
    tasks = [asyncio.ensure_future(dead(puller, handed)) for puller in pullers[:DEAD]]
    tasks += [asyncio.ensure_future(_work(puller, handed, messages, everything)) for puller in pullers[DEAD:]]
    waits = asyncio.ensure_future(everything.wait())
    try:
        async with asyncio.timeout(PATIENCE):
            while not waits.done():
                done, _ = await asyncio.wait([waits, *tasks], return_when=asyncio.FIRST_COMPLETED)
                tasks = [task for task in tasks if task not in done]
                for task in done:
                    task.result()
    finally:
        for task in (waits, *tasks):
            task.cancel()
        await asyncio.gather(waits, *tasks, return_exceptions=True)
        for puller in pullers:
            puller.close()
    return handed


async def _work(puller: Puller, handed: HandOuts, messages: int, everything: asyncio.Event) -> None:
    settle: Mapping[str, object] = {}
    while True:
        batch = await _take(puller, handed, dead=False, **settle)
        settle = {"settle": {"ack": [batch]}} if batch else {}
        if handed.done == messages:
            everything.set()


async def _die(puller: Puller, handed: HandOuts) -> None:
    await _take(puller, handed, dead=True)
    puller.close()


async def _hoard(puller: Puller, handed: HandOuts) -> None:
    while True:
        await _take(puller, handed, dead=True)


async def _take(puller: Puller, handed: HandOuts, *, dead: bool, **fields: object) -> str | None:
    """The batch's token, none where nothing came."""
    answer = await puller.pull(BATCH, wait_ms=5_000, ack_wait_ms=LEASE_MS, **fields)
    now = time()
    for message in answer["messages"]:
        key = message["partition"], message["offset"]
        handed.note(key, now, message["lease_ends_unix_ms"] / 1000, dead=dead)
    token: str | None = answer.get("batch")
    return token


WORKLOAD: Workload = DeadClients()
