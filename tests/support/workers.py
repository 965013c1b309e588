"""Real worker processes: started by the commands that people use, watched through HTTP, ended by their pid.

With ``TESTS_VERBOSE=1`` in the environment they log every decision.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import aiohttp

from support.eventually import eventually
from support.forks import Fork, fork
from support.network.network import Network, Node

BIN = Path(sys.executable).parent
LAUNCHER = Path(__file__).with_name("launcher.py")

#: From the command to the first answer: 2 s on a machine at rest, 15 s on one with two cores and several test runs.
READY = 40.0
#: The same where several start at once.
READY_TOGETHER = 40.0
_LOG_SHOWN = 40_000
#: At a node of its own there is nobody else to take it.
_PORT = 6066

#: ``fork`` is ``fanout`` without what comes before its `main`: see `support.forks`.
Command = Literal["fork", "fanout", "faust"]


class Exit(NamedTuple):
    """How a worker ended: its exit code, and how long that took."""

    code: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Everything a worker is started with."""

    id: str
    topic: str
    brokers: str
    #: Further options as ``--commit-interval`` would take them: ``{"commit_interval": "100ms"}``.
    options: Mapping[str, str]
    command: Command = "fork"
    #: Where the commands are.
    bin: Path = BIN
    #: A topic in the process, without Kafka.
    memory: bool = False
    #: Faults for `support.launcher`; none: the plain command.
    faults: Sequence[str] = ()
    environment: Mapping[str, str]
    #: The network's node that it runs at; none: here, reached by the loopback.
    node: Node | None = None
    port: int
    folder: Path
    log: Path

    @property
    def address(self) -> str:
        return f"{self.node.address if self.node else '127.0.0.1'}:{self.port}"

    def arguments(self) -> list[str]:
        return [*(self.node.prefix if self.node else ()), *self._program()]

    def _program(self) -> list[str]:
        if self.command == "faust":
            return [str(self.bin / "faust"), "-A", "fanout_app", "worker"]
        program = [sys.executable, str(LAUNCHER)] if self.faults else [str(self.bin / "fanout")]
        return program + self.options_given()

    def options_given(self) -> list[str]:
        """What the command or, with faults, the launcher is told."""
        before = [*self.faults, "--"] if self.faults else []
        if self.memory:
            before.append("--memory")
        return before + [f"--{name.replace('_', '-')}={value}" for name, value in self._given().items()]

    def variables(self) -> dict[str, str]:
        variables = {**os.environ, **self.environment}
        if self.command == "faust":
            variables |= {f"FANOUT_{name.upper()}": value for name, value in self._given().items()}
        return variables

    def _given(self) -> dict[str, str]:
        servers = {} if self.memory else {"brokers": self.brokers}
        given = {"id": self.id, "topic": self.topic, **servers, "bind": self.address, **self.options}
        # "from" is a word of Python, so tests write it longer.
        return {name.removeprefix("start_"): value for name, value in given.items()}


class Worker:
    """One process."""

    def __init__(self, start: Start, session: aiohttp.ClientSession) -> None:
        self.start = start
        self.id = start.id
        self.topic = start.topic
        self.log = start.log
        self._session = session
        self._log_file = start.log.open("wb")
        self._process = self._begin()
        self.pid = self._process.pid
        self.node = start.node
        self.url = f"{'https' if 'tls_cert' in start.options else 'http'}://{start.address}"

    def __repr__(self) -> str:
        return f"<Worker {self.id} {self.topic} pid={self.pid} {self.url}>"

    def _begin(self) -> Fork | subprocess.Popen[bytes]:
        start = self.start
        if start.command == "fork":
            return fork(start.options_given(), start.folder, start.variables(), self._log_file)
        return subprocess.Popen(
            start.arguments(),
            cwd=start.folder,
            env=start.variables(),
            stdin=subprocess.DEVNULL,
            stdout=self._log_file,
            stderr=subprocess.STDOUT,
        )

    async def ready(self, deadline: float = READY) -> Worker:
        """Wait until it can answer a pull."""
        await eventually(self._is_ready, deadline)
        return self

    async def _is_ready(self) -> bool:
        code = self._process.poll()
        if code is not None:
            raise RuntimeError(f"{self!r} ended with {code} before it was ready:\n{self.text()}")
        try:
            async with self._session.get(f"{self.url}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def status(self) -> dict[str, Any]:
        async with self._session.get(f"{self.url}/v1/status") as response:
            assert response.status == 200, await response.text()
            status: dict[str, Any] = await response.json()
            return status

    async def workers(self) -> dict[str, dict[str, Any]]:
        """Who is in the cluster, as this worker sees it, by name."""
        async with self._session.get(f"{self.url}/v1/workers") as response:
            assert response.status == 200, await response.text()
            return {row["worker"]: row for row in (await response.json())["workers"]}

    async def has_waiting(self, pulls: int) -> bool:
        """Whether exactly so many pulls wait at the moment."""
        return bool((await self.status())["waiting_pulls"] == pulls)

    async def partitions(self) -> dict[int, dict[str, Any]]:
        """The partitions this worker has at the moment, and how they stand."""
        async with self._session.get(f"{self.url}/v1/partitions") as response:
            assert response.status == 200, await response.text()
            rows = (await response.json())["partitions"]
        name = (await self.status())["worker"]
        return {row["partition"]: row for row in rows if row["owner"] == name}

    # Ends ------------------------------------------------------------------------------------------------------------

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def kill9(self) -> None:
        """The hardest end: nothing is written, nobody is told."""
        self._process.kill()
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def terminate(self, deadline: float = 15.0) -> Exit:
        """Ask it to end, and wait.

        Raises:
            AssertionError: it was still there at the deadline.
        """
        self.signal(signal.SIGTERM)
        return await self.ended(deadline)

    async def ended(self, deadline: float) -> Exit:
        began = time.monotonic()
        await eventually(lambda: not self.runs, deadline, every=0.02)
        return Exit(self._process.wait(), time.monotonic() - began)

    def pause(self) -> None:
        """Stop the whole process, heartbeats and all; its connections stay open."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def close(self) -> None:
        """Whatever state it is in, it is gone after this."""
        if self.runs:
            self.kill9()
        self._log_file.close()

    def text(self) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace")
        return text if len(text) <= _LOG_SHOWN else f"[...]{text[-_LOG_SHOWN:]}"


class Workers:
    """Starts the workers of one test, and ends them with it. With a network each is at a node of its own."""

    def __init__(
        self, brokers: str, folder: Path, session: aiohttp.ClientSession, *, network: Network | None = None
    ) -> None:
        self.all: list[Worker] = []
        self.faults_report = folder / "faults.jsonl"
        self._ports: list[socket.socket] = []
        self._brokers = brokers
        self._folder = folder
        self._session = session
        self.network = network

    def launch(
        self,
        topic: str,
        *,
        id: str = "service",
        command: Command | None = None,
        bin: Path = BIN,
        memory: bool = False,
        faults: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        **options: str,
    ) -> Worker:
        """Start a worker without waiting for it. Options by their names: ``commit_interval="100ms"``."""
        node = self._free_node(self.network) if self.network else None
        elsewhere = node is not None or bin is not BIN or "PYTHONPATH" in (environment or {})
        start = Start(
            id=id,
            topic=topic,
            brokers=self._brokers,
            # Short, so that tests need not wait for what is committed or for the dead to be missed.
            options={"commit_interval": "100ms", "session_timeout": "3s", **options},
            command=command or ("fanout" if elsewhere else "fork"),
            bin=bin,
            memory=memory,
            faults=faults,
            environment={
                "FANOUT_VERBOSE": os.environ.get("TESTS_VERBOSE", "0"),
                "TESTS_FAULTS_REPORT": str(self.faults_report),
                **({"FANOUT_INSECURE": "1"} if node else {}),
                **(environment or {}),
            },
            node=node,
            port=_PORT if node else self._reserve_port(),
            folder=self._folder,
            log=self._folder / f"worker-{len(self.all) + 1}.log",
        )
        worker = Worker(start, self._session)
        self.all.append(worker)
        return worker

    def again(self, worker: Worker, *, environment: Mapping[str, str] | None = None) -> Worker:
        """Start one that has ended once more, at its address; ``environment`` is what is another one than before."""
        start = replace(
            worker.start,
            environment={**worker.start.environment, **(environment or {})},
            log=self._folder / f"worker-{len(self.all) + 1}.log",
        )
        again = Worker(start, self._session)
        self.all.append(again)
        return again

    async def start(self, topic: str, **how: object) -> Worker:
        """Start a worker and wait until it is ready. Takes what `launch` takes."""
        launch: Callable[..., Worker] = self.launch
        return await launch(topic, **how).ready()

    def dropped(self) -> list[dict[str, int]]:
        """The fetches that a fault was done to and that never reached the runtime of a worker."""
        if not self.faults_report.exists():
            return []
        events = [json.loads(line) for line in self.faults_report.read_text().splitlines()]
        arrived = {event["fetch"] for event in events if event["event"] == "arrived"}
        return [event for event in events if event["event"] == "hit" and event["fetch"] not in arrived]

    def close(self) -> None:
        for worker in self.all:
            worker.close()
        for port in self._ports:
            port.close()

    def _free_node(self, network: Network) -> Node:
        """As a machine is that a worker ran on before; a new one where none is free."""
        taken = {worker.node.name for worker in self.all if worker.node and worker.runs}
        return network.add(next(name for number in count(1) if (name := f"worker-{number}") not in taken))

    def _reserve_port(self) -> int:
        """A port of ours until the end of the test."""
        reserved = reserve_port()
        self._ports.append(reserved)
        port: int = reserved.getsockname()[1]
        return port


def reserve_port() -> socket.socket:
    """What holds a port until it is closed.

    Bound without SO_REUSEADDR, so that nobody else has it, and given the option afterwards, so that a server may bind
    it too.
    """
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return reserved


ShowLogs = Callable[[Workers], None]
