"""Workers joined by a simulated network, and clients spread over them, in virtual time."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections import Counter
from dataclasses import dataclass
from itertools import count
from math import ceil
from time import monotonic
from typing import Any

from benchmarks.core_worker import CoreWorker
from fanout_app.cluster.exchange import Exchange
from fanout_app.cluster.frames import Frame

#: Seconds that a frame takes from one worker to another: a fast network and a turn of both loops.
FASTEST, SLOWEST = 0.0003, 0.0010
#: Seconds within which arrivals count as one moment.
MOMENT = 0.00005
#: Seconds that a pull waits. Long, since how pulls end in vain is not the question here.
WAIT = 60.0


class _Network:
    """Brings frames on their ways. Those that arrive in the same moment share a timer."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[int, list[tuple[_End, Frame]]] = {}
        self.frames: Counter[str] = Counter()
        #: Before that nothing arrives.
        self.open = False

    def bring(self, frame: Frame, end: _End, at: float) -> None:
        if not self.open:
            return
        moment = ceil(at / MOMENT)
        others = self._under_way.get(moment)
        if others is None:
            others = self._under_way[moment] = []
            self._loop.call_at(moment * MOMENT, self._arrive, moment)
        others.append((end, frame))
        self.frames[type(frame).__name__] += 1

    def _arrive(self, moment: int) -> None:
        for end, frame in self._under_way.pop(moment):
            end.to.received(end.other, frame)


class _End:
    """One worker's end of a connection."""

    __slots__ = ("_busy_until", "_dice", "_network", "name", "other", "to")

    def __init__(self, name: str, to: Exchange, network: _Network, seed: int) -> None:
        """``name`` is that of the worker at the other end, whose exchange is ``to``."""
        self.name = name
        self.to = to
        self.other: _End = self
        self._network = network
        #: Dice of its own, a linear congruential generator: in which order a worker sends to others must not matter.
        self._dice = seed
        self._busy_until = 0.0

    def send(self, frame: Frame) -> None:
        self._dice = (self._dice * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        way = FASTEST + (SLOWEST - FASTEST) * (self._dice >> 33) / (1 << 31)
        # In the order of sending, as on a connection.
        self._busy_until = max(self._busy_until, monotonic() + way)
        self._network.bring(frame, self, self._busy_until)

    def drop(self) -> None:
        raise AssertionError("no connection is given up here")


@dataclass(slots=True)
class Plan:
    """What is simulated."""

    workers: int
    #: Workers that have a partition, one each; the others are spares.
    owners: int
    clients: int
    #: Messages that come for each that the clients could work on; None: they are all there from the start.
    load: float | None
    messages: int
    seed: int = 1
    #: Seconds that a client works on a message, on average; exponentially distributed.
    work: float = 0.02


class Cluster:
    """All of it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)
        self._network = _Network()
        self.got: Counter[str] = Counter()
        self.ways: list[float] = []
        self._done = asyncio.Event()
        batches = count(1)
        self.workers = [
            CoreWorker(
                f"w{number:04}",
                [number] if number < plan.owners else [],
                chance=random.Random(f"{plan.seed} worker {number}").random,
                batches=batches,
            )
            for number in range(plan.workers)
        ]
        self._connect()

    def _connect(self) -> None:
        for at, one in enumerate(self.workers):
            for other in self.workers[at + 1 :]:
                here, there = (
                    _End(end.name, end.exchange, self._network, self._random.getrandbits(64)) for end in (other, one)
                )
                here.other, there.other = there, here
                one.exchange.joined(here)
                other.exchange.joined(there)
        # That they have nothing, a million times between a thousand of them, is known without a word.
        for spare in self.workers[self._plan.owners :]:
            spare.exchange.tell()
        self._network.open = True

    async def _telling(self, worker: CoreWorker, after: float) -> None:
        await asyncio.sleep(after)
        await worker.exchange.keep_telling()

    async def _client(self, name: str, worker: CoreWorker) -> None:
        chance = random.Random(f"{self._plan.seed} {name}")
        while True:
            taken = await worker.pull(name, WAIT)
            if taken is None:
                continue
            self.got[name] += 1
            self.ways.append(monotonic() - taken.made_at)
            if len(self.ways) >= self._plan.messages:
                self._done.set()
            await asyncio.sleep(chance.expovariate(1 / self._plan.work))
            assert await worker.ack(taken) == 1

    async def _arrive(self) -> None:
        plan, loop = self._plan, asyncio.get_running_loop()
        if plan.load is None:
            return
        every = plan.work / plan.clients / plan.load
        at = loop.time()
        while True:
            at += self._random.expovariate(1 / every)
            await asyncio.sleep(at - loop.time())
            number = self._random.randrange(plan.owners)
            self.workers[number].offer(number, 1)

    async def run(self) -> dict[str, Any]:
        """Until so many messages have been handed out; what came of it."""
        if self._plan.load is None:
            # Before anybody waits: otherwise everybody would be handed something by every owner at first.
            for number in range(self._plan.owners):
                self.workers[number].offer(number, -(-2 * self._plan.messages // self._plan.owners))
        tasks = [asyncio.ensure_future(self._telling(worker, 0.2 * self._random.random())) for worker in self.workers]
        await asyncio.sleep(0.5)
        told = self._network.frames.copy()
        for number in range(self._plan.clients):
            # Clients are numbered over the workers in turn, so that each has as many as any other.
            worker = self.workers[number % len(self.workers)]
            tasks.append(asyncio.ensure_future(self._client(f"c{number}", worker)))
        await asyncio.sleep(0.1)
        began = monotonic()
        tasks.append(asyncio.ensure_future(self._arrive()))
        await self._done.wait()
        seconds = monotonic() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self._figures(seconds, self._network.frames - told)

    def _figures(self, seconds: float, frames: Counter[str]) -> dict[str, Any]:
        plan = self._plan
        deliveries = sum(worker.dispatcher.counters.delivered for worker in self.workers)
        returned = sum(worker.exchange.asking.returned for worker in self.workers)
        shares = [self.got[f"c{number}"] for number in range(plan.clients)]
        mean = statistics.mean(shares)
        ways = sorted(self.ways)
        return {
            "workers": plan.workers,
            "owners": plan.owners,
            "clients": plan.clients,
            "work_s": plan.work,
            "load": plan.load,
            "messages": len(ways),
            "virtual_s": round(seconds, 2),
            "returned_share": round(returned / deliveries, 4),
            "frames_per_message": round(frames.total() / len(ways), 1),
            "state_frames_per_worker_s": round(frames["State"] / plan.workers / seconds, 1),
            "share_spread": round(statistics.pstdev(shares) / mean, 3),
            "share_min": round(min(shares) / mean, 3),
            "share_max": round(max(shares) / mean, 3),
            #: What clients chosen by dice would come to.
            "spread_by_dice": round(mean**-0.5, 3),
            "way_p50_ms": round(ways[len(ways) // 2] * 1000, 2),
            "way_p99_ms": round(ways[int(len(ways) * 0.99)] * 1000, 2),
        }


async def simulate(plan: Plan) -> dict[str, Any]:
    """One run."""
    return await Cluster(plan).run()
