"""kafka-pixy, a proxy in Go that hands out a Kafka topic over HTTP, one message a request."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.peers.kafka39 import Kafka39
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import (
    Pids,
    end,
    free_port,
    launch,
    listening,
    load_generator,
    output_of,
    pids_argument,
    run_of,
)
from benchmarks.peers.system import CACHE, CannotRun, Drain, Paced, Run

MODULE, VERSION = "github.com/mailgun/kafka-pixy", "v0.18.0"
PROGRAM = CACHE / f"kafka-pixy-{VERSION}" / "kafka-pixy"
#: Seconds in which the last offsets have to be committed: that is done twice a second.
COMMIT_PATIENCE = 10.0

#: Everything else is as it comes.
CONFIGURATION = """\
grpc_addr: 127.0.0.1:{grpc}
tcp_addr: 127.0.0.1:{web}
proxies:
  default:
    kafka:
      seed_peers: ["{brokers}"]
      version: 2.0.0
    zoo_keeper:
      seed_peers: ["{zookeepers}"]
"""


class KafkaPixy:
    """A process of its own for each run, since it cannot be told where a group begins while it serves that group."""

    name = "kafka-pixy"
    keeps_messages = True
    durability = (
        "an ack is in the proxy's memory when it is answered, and committed to Kafka within half a second: "
        f"a killed proxy forgets acks ({KafkaStack.durability})"
    )
    batch_means = "one message a request, acked by the next request or by one of its own; clients are HTTP connections"

    def __init__(self) -> None:
        self._kafka = Kafka39()
        self._where = Path()
        self._load = Path()

    def versions(self) -> Mapping[str, str]:
        said = subprocess.check_output(["go", "version", str(PROGRAM)], text=True).split()[-1]
        return {
            "kafka-pixy": VERSION,
            "go": said,
            "broker": self._kafka.version(),
            "load generator": "Go, net/http",
        }

    async def start(self, where: Path) -> None:
        self._where = where
        self._load = await load_generator()
        await _build()
        await self._kafka.start_in(where)

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        await self._kafka.fill(topic, messages=messages, size=size, partitions=partitions)

    async def drain(self, topic: str, workload: Drain) -> Run:
        if workload.batch != 1:
            raise CannotRun("kafka-pixy hands out one message a request: batch 1 only")
        group = f"bench{time.time_ns()}"
        web = free_port()
        url = f"http://127.0.0.1:{web}/topics/{topic}"
        log = self._where / f"{group}.log"
        proxy = launch([PROGRAM, "-config", self._configuration(group, web)], log)
        try:
            await listening(web, proxy, log)
            # A group that Kafka knows nothing of would begin at the end.
            await _from_the_start(url, group, workload.partitions)
            pids: Pids = {"server": [proxy.pid], "broker": self._kafka.broker_pids()}
            run = run_of(json.loads(await output_of(self._command(url, group, workload, pids))))
            await _all_committed(url, group)
            return run
        finally:
            await end(proxy)

    def _configuration(self, group: str, web: int) -> Path:
        file = self._where / f"{group}.yaml"
        kafka = self._kafka
        text = CONFIGURATION.format(web=web, grpc=free_port(), brokers=kafka.brokers, zookeepers=kafka.zookeepers)
        file.write_text(text)
        return file

    def _command(self, url: str, group: str, workload: Drain, pids: Pids) -> list[str]:
        return [
            str(self._load), "drain", "-protocol", "pixy", "-urls", url, "-group", group,
            "-messages", str(workload.messages), "-clients", str(workload.clients), "-batch", "1",
            "-pids", pids_argument(pids), *([] if workload.riding else ["-apart"]),
        ]  # fmt: skip

    async def paced(self, topic: str, workload: Paced) -> Run:
        raise CannotRun("not built yet")

    async def stop(self) -> None:
        await self._kafka.stop()


async def _build() -> None:
    """Builds the proxy in an empty module that requires it. Raises CannotRun for want of Go, or with what it said."""
    if PROGRAM.exists():
        return
    if shutil.which("go") is None:
        raise CannotRun(f"no go found, which {MODULE} is built with: https://go.dev/dl")
    await asyncio.to_thread(shutil.rmtree, PROGRAM.parent, ignore_errors=True)
    await asyncio.to_thread(os.makedirs, PROGRAM.parent)
    folder = str(PROGRAM.parent)
    try:
        await output_of(["go", "-C", folder, "mod", "init", "bench/pixy"])
        await output_of(["go", "-C", folder, "get", f"{MODULE}@{VERSION}"])
        await output_of(["go", "-C", folder, "build", "-o", str(PROGRAM), MODULE])
    except RuntimeError as error:
        raise CannotRun(f"{MODULE} {VERSION} cannot be built: {error}") from error


async def _from_the_start(url: str, group: str, partitions: int) -> None:
    offsets = [{"partition": partition, "offset": 0} for partition in range(partitions)]
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/offsets", params={"group": group}, json=offsets) as answer,
    ):
        if answer.status != 200:
            raise CannotRun(f"kafka-pixy does not set offsets: {await answer.text()}")


async def _all_committed(url: str, group: str) -> None:
    """What was acked comes to Kafka later, so it is asked after the run. Raises RuntimeError when it does not come."""
    until = time.monotonic() + COMMIT_PATIENCE
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/offsets", params={"group": group}) as answer:
                partitions: list[dict[str, Any]] = await answer.json(content_type=None)
            if partitions and all(one["offset"] == one["end"] for one in partitions):
                return
            if time.monotonic() > until:
                raise RuntimeError(f"not everything is committed: {partitions}")
            await asyncio.sleep(0.1)
