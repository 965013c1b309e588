"""What the web server alone can do: aiohttp on uvloop with a handler that does nothing, as fast as it is asked.

It holds no messages: a request is what others count as a message, so it compares with batches of 1 only.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.processes import (
    end,
    free_port,
    launch,
    listening,
    load_generator,
    output_of,
    pids_argument,
    run_of,
)
from benchmarks.peers.system import CannotRun, Drain, Paced, Run


class EmptyHandler:
    """A server in a process of its own."""

    name = "empty-aiohttp"
    keeps_messages = True
    durability = "nothing is stored: the ceiling of the web server"
    batch_means = "requests, each answered with 2 bytes; clients are HTTP connections"

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._load = Path()

    def versions(self) -> Mapping[str, str]:
        return {"aiohttp": version("aiohttp"), "uvloop": version("uvloop"), "python": platform.python_version()}

    async def start(self, where: Path) -> None:
        self._load = await load_generator()
        self._port = free_port()
        log = where / "empty.log"
        self._server = launch([sys.executable, "-m", "benchmarks.peers.empty_server", str(self._port)], log)
        await listening(self._port, self._server, log)

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        """Nothing to fill."""

    async def drain(self, topic: str, workload: Drain) -> Run:
        if workload.batch != 1:
            raise CannotRun("an empty handler has no batches")
        if self._server is None:
            raise CannotRun("not started")
        said = await output_of(
            [
                self._load, "web", "-url", f"http://127.0.0.1:{self._port}/v1/pull",
                "-requests", str(workload.messages), "-clients", str(workload.clients),
                "-pids", pids_argument({"server": [self._server.pid]}),
            ]
        )  # fmt: skip
        counted = json.loads(said)
        return run_of({**counted, "messages": counted["requests"], "duplicates": 0, "until_first": 0.0})

    async def paced(self, topic: str, workload: Paced) -> Run:
        raise CannotRun("an empty handler has no messages")

    async def stop(self) -> None:
        await end(self._server)
