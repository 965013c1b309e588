"""kafka-pixy, a proxy in Go that hands out a Kafka topic over HTTP, one message a request."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.peers import confluent
from benchmarks.peers.kafka39 import Kafka39
from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.pacing import kafka_producer, paced_run
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
    tail,
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


@dataclass(frozen=True)
class Proxy:
    """One that serves one topic to one group."""

    #: Of the topic.
    url: str
    group: str
    pid: int


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
        async with self._proxy(topic, workload.partitions) as proxy:
            riding = [] if workload.riding else ["-apart"]
            run = await self._clients(proxy, workload.messages, workload.clients, *riding)
            await _all_committed(proxy)
            return run

    async def paced(self, topic: str, workload: Paced) -> Run:
        """`batch` is 1, whatever it says: an idle client gets a message by itself in any system."""
        await confluent.install()
        await self._kafka.create(topic, workload.partitions)
        async with self._proxy(topic, workload.partitions) as proxy:
            stamped = ["-apart", "-stamped", "-uncounted", str(workload.uncounted)]
            clients = self._clients(proxy, workload.messages, workload.clients, *stamped)

            async def all_wait() -> bool:
                return await _consumed(proxy) == workload.partitions

            producer = kafka_producer(topic, workload, self._kafka.brokers)
            run = await paced_run(workload, producer, clients, all_wait)
            await _all_committed(proxy)
            return run

    @asynccontextmanager
    async def _proxy(self, topic: str, partitions: int) -> AsyncIterator[Proxy]:
        """One of its own for a run, with a group of its own that begins with what is there."""
        group = f"bench{time.time_ns()}"
        web = free_port()
        log = self._where / f"{group}.log"
        process = launch([PROGRAM, "-config", self._configuration(group, web)], log)
        try:
            await listening(web, process, log)
            proxy = Proxy(f"http://127.0.0.1:{web}/topics/{topic}", group, process.pid)
            # A group that Kafka knows nothing of would begin at the end.
            await _from_the_start(proxy, partitions)
            yield proxy
        except RuntimeError as error:
            if process.poll() is not None:
                # It panics at times in its multiplexer, at thousands of messages a second.
                raise CannotRun(f"kafka-pixy ended by itself, with {process.returncode}: {_panic(log)}") from error
            raise RuntimeError(f"{error}; the end of the log of kafka-pixy: {tail(log)}") from error
        finally:
            await end(process)

    def _configuration(self, group: str, web: int) -> Path:
        file = self._where / f"{group}.yaml"
        kafka = self._kafka
        text = CONFIGURATION.format(web=web, grpc=free_port(), brokers=kafka.brokers, zookeepers=kafka.zookeepers)
        file.write_text(text)
        return file

    async def _clients(self, proxy: Proxy, messages: int, clients: int, *options: str) -> Run:
        pids: Pids = {"server": [proxy.pid], "broker": self._kafka.broker_pids()}
        command = [
            str(self._load), "drain", "-protocol", "pixy", "-urls", proxy.url, "-group", proxy.group,
            "-messages", str(messages), "-clients", str(clients), "-batch", "1",
            "-pids", pids_argument(pids), *options,
        ]  # fmt: skip
        return run_of(json.loads(await output_of(command)))

    async def stop(self) -> None:
        await self._kafka.stop()


def _panic(log: Path) -> str:
    """What a Go program said first when it ended for a fault of its own, or the end of what it said."""
    lines = log.read_text(errors="replace").splitlines()
    return next((line for line in lines if line.startswith(("panic:", "fatal error:"))), tail(log))


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


async def _from_the_start(proxy: Proxy, partitions: int) -> None:
    offsets = [{"partition": partition, "offset": 0} for partition in range(partitions)]
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{proxy.url}/offsets", params={"group": proxy.group}, json=offsets) as answer,
    ):
        if answer.status != 200:
            raise CannotRun(f"kafka-pixy does not set offsets: {await answer.text()}")


async def _consumed(proxy: Proxy) -> int:
    """How many partitions the group consumes by now, as it says: it joins with the first request of a client.

    Until then it is no group that kafka-pixy knows, and the answer an error.
    """
    consumers = await _asked(proxy, "consumers")
    if "error" in consumers:
        return 0
    return sum(len(partitions) for members in consumers.values() for partitions in members.values())


async def _all_committed(proxy: Proxy) -> None:
    """What was acked comes to Kafka later, so it is asked after the run. Raises RuntimeError when it does not come."""
    until = time.monotonic() + COMMIT_PATIENCE
    while True:
        partitions = await _asked(proxy, "offsets")
        if partitions and all(one["offset"] == one["end"] for one in partitions):
            return
        if time.monotonic() > until:
            raise RuntimeError(f"not everything is committed: {partitions}")
        await asyncio.sleep(0.1)


async def _asked(proxy: Proxy, what: str) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{proxy.url}/{what}", params={"group": proxy.group}) as answer,
    ):
        return await answer.json(content_type=None)
