"""How long partitions stand still when workers come, leave and die.

    python -m benchmarks.takeover [--partitions 1,16,64] [--workers 6] [--json FILE]

For each number of partitions: one worker, then one more at a time up to ``--workers``; then one leaves by SIGTERM, the
next is killed, and so on down to one, each time the one with the most partitions. All the while a message a partition
is written every 50 ms, and one client at each worker takes and acks what comes. Of each step: the longest time without
a message of any one partition, and, where a worker went, how long after the signal the others had its partitions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from benchmarks.support import BIN, fill, post, request, stack, wait_until_ready

PORT = 6200
EVERY = 0.05
#: All partitions have to be handed out again and again for so long before a step counts as over.
CALM = 2.0
STEP_WITHIN = 60.0
_PARTITION = re.compile(rb'"partition":(\d+),')
_BATCH = re.compile(rb'"batch":"([^"]+)"')


@dataclass(slots=True)
class Member:
    """A worker, and the client at it."""

    process: subprocess.Popen[bytes]
    port: int
    client: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Watched:
    """When a message of which partition came, and from which worker."""

    came: dict[int, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))

    def owners(self) -> dict[int, int]:
        return {partition: times[-1][1] for partition, times in self.came.items()}

    def calm_since(self, moment: float, partitions: int, ports: set[int]) -> bool:
        """Whether every partition has been handed out in each of the last few tenths of a second, by these workers."""
        now = time.monotonic()
        if now - moment < CALM or len(self.came) < partitions:
            return False
        for times in self.came.values():
            late = [(at, port) for at, port in times[-200:] if at > now - CALM]
            if not late or late[-1][1] not in ports or _longest([at for at, _ in late], now) > CALM / 2:
                return False
        return True

    def gap(self, moment: float) -> float:
        """The longest time without a message of one partition since shortly before this moment."""
        return max(_longest([at for at, _ in times if at > moment - 0.5], None) for times in self.came.values())


def _longest(times: Sequence[float], until: float | None) -> float:
    ends = [*times[1:], *([until] if until is not None else [])]
    return max((end - at for at, end in zip(times, ends, strict=False)), default=0.0)


class Cluster:
    """The workers of one id, their clients and the producer."""

    def __init__(self, brokers: str, topic: str, partitions: int, options: Sequence[str]) -> None:
        self._brokers = brokers
        self._topic = topic
        self._partitions = partitions
        self._options = options
        self._id = f"takeover{time.time_ns()}"
        self._port = PORT
        self.members: list[Member] = []
        self.watched = Watched()
        #: Workers without partitions, as they said when asked last.
        self.spares = 0

    async def produce(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._brokers)
        await producer.start()
        try:
            while True:
                for partition in range(self._partitions):
                    await producer.send(self._topic, b"x" * 100, partition=partition)
                await asyncio.sleep(EVERY)
        finally:
            await producer.stop()

    async def start(self) -> Member:
        self._port += 1
        command = [str(BIN / "fanout"), "--id", self._id, "--topic", self._topic, "--brokers", self._brokers]
        bind = ["--bind", f"127.0.0.1:{self._port}"]
        arguments = [*command, *bind, *self._options]
        member = Member(await asyncio.to_thread(subprocess.Popen, arguments), self._port)
        member.client = asyncio.create_task(self._take(member.port))
        self.members.append(member)
        return member

    async def _take(self, port: int) -> None:
        """Take and ack whatever this worker hands out, for as long as it is there."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                settle = b""
                while True:
                    body = b'{"client":"c%d","max_messages":1000,"wait_ms":2000%b}' % (port, settle)
                    status, answer = await post(reader, writer, "/v1/pull", body)
                    if status == 503:
                        break
                    now = time.monotonic()
                    for partition in {int(number) for number in _PARTITION.findall(answer)}:
                        self.watched.came[partition].append((now, port))
                    token = _BATCH.search(answer)
                    settle = b',"settle":{"ack":["%b"]}' % token[1] if token else b""
            except (OSError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.02)

    async def calm(self, since: float) -> None:
        """Wait until the step is over: the workers that run hand everything out, and have what they are to have."""
        ports = {member.port for member in self.members}
        until = time.monotonic() + STEP_WITHIN
        while not (self.watched.calm_since(since, self._partitions, ports) and await self._all_owned()):
            if time.monotonic() > until:
                raise TimeoutError(f"no calm: {self.watched.owners()}")
            await asyncio.sleep(0.1)

    async def _all_owned(self) -> bool:
        owned = [await self._owned(member.port) for member in self.members]
        self.spares = owned.count(0)
        return sum(owned) == self._partitions

    async def _owned(self, port: int) -> int:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
            _, status = await request(reader, writer, "GET", "/v1/status", b"")
            _, answer = await request(reader, writer, "GET", "/v1/partitions", b"")
            writer.close()
            me = json.loads(status)["worker"]
            return sum(partition["owner"] == me for partition in json.loads(answer)["partitions"])
        except (OSError, ValueError, asyncio.IncompleteReadError):
            return 0

    async def step(self, name: str) -> dict[str, Any]:
        """One worker comes or goes; what that cost."""
        before = len(self.members)
        handed_over = None
        if name == "join":
            began = time.monotonic()
            joining = await self.start()
            await asyncio.to_thread(wait_until_ready, joining.port, joining.process)
            await self.calm(time.monotonic())
        else:
            member = await self._owner_of_most()
            self.members.remove(member)
            began = time.monotonic()
            member.process.send_signal(signal.SIGTERM if name == "SIGTERM" else signal.SIGKILL)
            handed_over = await self._owned_again(began)
            await self.calm(time.monotonic())
            await asyncio.to_thread(member.process.wait, 30)
            assert member.client is not None
            member.client.cancel()
        return {
            "partitions": self._partitions,
            "workers": before,
            "step": name,
            "spares": self.spares,
            "longest_gap_s": round(self.watched.gap(began), 2),
            "handed_over_s": handed_over,
        }

    async def _owned_again(self, began: float) -> float:
        while time.monotonic() < began + STEP_WITHIN:
            if await self._all_owned():
                return round(time.monotonic() - began, 2)
            await asyncio.sleep(0.02)
        raise TimeoutError("partitions that nobody has")

    async def _owner_of_most(self) -> Member:
        owned = {member.port: await self._owned(member.port) for member in self.members}
        return max(self.members, key=lambda one: owned[one.port])

    async def stop(self) -> None:
        for member in self.members:
            member.process.send_signal(signal.SIGTERM)
        for member in self.members:
            await asyncio.to_thread(member.process.wait, 30)
            if member.client is not None:
                member.client.cancel()


async def measure(brokers: str, partitions: int, workers: int, options: Sequence[str]) -> list[dict[str, Any]]:
    topic = f"takeover-{time.time_ns()}"
    await fill(brokers, topic, partitions=partitions, messages=0, size=0)
    cluster = Cluster(brokers, topic, partitions, options)
    producing = asyncio.create_task(cluster.produce())
    rows = []
    try:
        await cluster.start()
        await cluster.calm(time.monotonic())
        steps = ["join"] * (workers - 1) + [
            "SIGTERM" if number % 2 == 0 else "SIGKILL" for number in range(workers - 1)
        ]
        for name in steps:
            rows.append(await cluster.step(name))
            print(rows[-1], file=sys.stderr)
    finally:
        await cluster.stop()
        producing.cancel()
        with suppress(asyncio.CancelledError):
            await producing
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", default="1,16,64")
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--json", type=Path)
    parser.add_argument("options", nargs="*", help="further options of the workers, behind --")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with stack(f"takeover-{os.getpid()}") as brokers:
        for partitions in map(int, args.partitions.split(",")):
            rows += asyncio.run(measure(brokers, partitions, args.workers, args.options))
    print("partitions  workers  step     longest gap  handed over")
    for row in rows:
        handed_over = "" if row["handed_over_s"] is None else f"{row['handed_over_s']:.2f} s"
        gap = f"{row['longest_gap_s']:.2f} s"
        print(f"{row['partitions']:10} {row['workers']:8}  {row['step']:8} {gap:>11}  {handed_over:>11}")
    if args.json:
        about = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()}
        args.json.write_text(json.dumps({"about": about, "steps": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
