"""A new release takes a small share, then a larger one, then meets what it cannot do, and is taken out."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer

from examples.canary.record import CANARY, STABLE, Held, Record, Tried
from examples.demo.servers import TOPIC, say

ROOT = Path(__file__).resolve().parents[2]
#: Instances of the release that is in service, and of the new one.
INSTANCES = {STABLE: 3, CANARY: 1}
RELEASE = {STABLE: "v1", CANARY: "v2"}
#: Orders a second.
RATE = 200
#: What is asked for: a quarter of the orders after six seconds on 5 %, all of them after a minute more.
PLAN: dict[str, Any] = {
    "weights": {STABLE: 95, CANARY: 5},
    "group": CANARY,
    "guard": {"window_ms": 5000, "min_samples": 20, "max_failure_ratio": 0.1},
    "steps": [{"weight": 5, "hold_ms": 6000}, {"weight": 25, "hold_ms": 60000}, {"weight": 100, "hold_ms": 60000}],
}
#: Seconds of 25 % before orders in dollars come, which are every third one then; and of quiet after the rollback.
CALM = 4.0
EVERY = 3
AFTERWARDS = 5.0
#: Seconds between two looks.
LOOK = 0.1
#: Seconds for the canary to be raised, to be taken out, and for the last order to be booked.
PATIENCE = 40.0


class Story:
    """Told by any worker of the cluster."""

    def __init__(self, http: aiohttp.ClientSession, producer: AIOKafkaProducer, workers: Sequence[str]) -> None:
        self._http = http
        self._producer = producer
        self._workers = workers
        self._began = monotonic()
        self.record = Record()

    def _now(self) -> float:
        return monotonic() - self._began

    async def tell(self) -> None:
        """From the first order to the last.

        Raises:
            SystemExit: something took too long.
        """
        async with self._instances(STABLE), self._instances(CANARY), asyncio.TaskGroup() as group:
            await self._all_wait()
            self._began = monotonic()
            writing = group.create_task(self._write_on())
            watching = group.create_task(self._watch())
            await asyncio.sleep(2.0)
            await self._begin()
            await self._until(lambda: self._weight() == 25, "the canary was not raised to 25 %")
            await asyncio.sleep(CALM)
            self.record.dollars_from = self._now()
            say(f"{self._now():5.1f} s  from now on every third order is in dollars, which v2 cannot book")
            await self._until(lambda: self.record.rolled_back, "the canary was not taken out")
            await asyncio.sleep(AFTERWARDS)
            writing.cancel()
            await self._until(
                lambda: len(self.record.booked) == self.record.written,
                "not all orders were booked",
            )
            watching.cancel()

    async def _all_wait(self) -> None:
        """All instances have started, and wait for orders."""
        until = monotonic() + PATIENCE
        while monotonic() < until:
            async with self._http.get(f"{self._workers[0]}/v1/clients") as answer:
                if sum(row["waiting"] > 0 for row in (await answer.json())["clients"]) == sum(INSTANCES.values()):
                    return
            await asyncio.sleep(LOOK)
        raise SystemExit(f"the instances do not all ask for orders within {PATIENCE:.0f} s")

    def _weight(self) -> int:
        return self.record.held[-1].weight if self.record.held else 0

    async def _until(self, true: Any, otherwise: str) -> None:
        until = monotonic() + PATIENCE
        while not true():
            if monotonic() > until:
                raise SystemExit(f"{otherwise} within {PATIENCE:.0f} s")
            await asyncio.sleep(LOOK)

    # Instances of the service ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _instances(self, group: str) -> AsyncIterator[None]:
        """Processes of their own, which know nothing but the addresses of the workers."""
        release = RELEASE[group]
        addresses = ",".join(worker.removeprefix("http://") for worker in self._workers)
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "examples.canary.service", f"{release}-{number}", "--release", release,
                "--group", group, "--workers", addresses, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
            )
            for number in range(1, INSTANCES[group] + 1)
        ]  # fmt: skip
        listening = [asyncio.create_task(self._listen(process, group)) for process in processes]
        try:
            yield
        finally:
            for process in processes:
                if process.returncode is None:
                    process.terminate()
                await process.wait()
            await asyncio.gather(*listening)

    async def _listen(self, process: asyncio.subprocess.Process, group: str) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            said = json.loads(line)
            self.record.tried.append(Tried(self._now(), group, said["order"], said["outcome"] == "failed"))

    # Orders ----------------------------------------------------------------------------------------------------------

    async def _write_on(self) -> None:
        for number in itertools.count():
            dollars = self.record.dollars_from is not None and number % EVERY == 0
            order = {"number": number, "amount": number % 100 + 1, "currency": "USD" if dollars else "EUR"}
            await self._producer.send(TOPIC, json.dumps(order).encode())
            self.record.written = number + 1
            await asyncio.sleep(max(0.0, number / RATE - self._now()))

    # The canary ------------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        address = f"{self._workers[0]}/v1/canary"
        async with self._http.get(address) as answer:
            tag = answer.headers["ETag"]
        async with self._http.put(address, json=PLAN, headers={"If-Match": tag}) as answer:
            if answer.status != 200:
                raise SystemExit(f"PUT /v1/canary: {answer.status} {await answer.text()}")

    async def _watch(self) -> None:
        """Note every change of what holds."""
        while True:
            async with self._http.get(f"{self._workers[-1]}/v1/canary") as answer:
                state = await answer.json()
            canary = state["groups"].get(CANARY, {})
            held = Held(
                self._now(), state["weights"].get(CANARY, 0), canary.get("verdict", ""), canary.get("reason") or ""
            )
            before = self.record.held[-1] if self.record.held else None
            if before is None or (before.weight, before.verdict) != (held.weight, held.verdict):
                self.record.held.append(held)
                reason = f": {held.reason}" if held.reason else ""
                say(f"{held.at:5.1f} s  canary has {held.weight} %, verdict {held.verdict or '-'}{reason}")
            await asyncio.sleep(LOOK)
