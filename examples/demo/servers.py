"""Kafka, ZooKeeper and the workers of the demo: started, and ended whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ID = "service_x"
TOPIC = "user_need"
#: Seconds from a worker's start to its port; one is enough where nothing else runs.
_START = 40.0
#: Seconds that a worker may take to end: --drain (3 s) and what a stop may take at most after it.
_STOP = 20.0


def say(text: str) -> None:
    print(text, flush=True)


def listed(items: Sequence[object]) -> str:
    """``1, 2 and 3``."""
    texts = [str(item) for item in items]
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]])) or "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A Kafka and a ZooKeeper."""

    name: str
    brokers: str
    zookeepers: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One process, and where it serves."""

    name: str
    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def __str__(self) -> str:
        return self.name

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running_stack(keep: bool) -> Iterator[Stack]:
    say("starting Kafka and ZooKeeper ...")
    # Its own, beside demos that were kept.
    name = f"demo-{os.getpid()}"
    up = subprocess.run(
        [ROOT / "bin/stack", "up", "--name", name, "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if up.returncode:
        raise SystemExit("the demo needs its own Kafka and ZooKeeper; see above why they did not start")
    kept = False
    try:
        found = json.loads(up.stdout)
        yield Stack(name=name, brokers=found["brokers"], zookeepers=found["zookeepers"])
        kept = keep
    finally:
        if not kept:
            say("stopping Kafka and ZooKeeper ...")
            subprocess.run([ROOT / "bin/stack", "down", "--name", name], check=True)


@contextmanager
def running_workers(stack: Stack, count: int, keep: bool) -> Iterator[list[Worker]]:
    """Workers of one id. Each has to end well, unless it was killed meanwhile or is kept."""
    command = [str(Path(sys.executable).parent / "fanout"), "--id", ID, "--topic", TOPIC, "--brokers", stack.brokers,
               "--zookeepers", stack.zookeepers]  # fmt: skip
    say(f"starting {'a worker' if count == 1 else f'{count} workers'}: {' '.join(['fanout', *command[1:]])}")
    logs = ROOT / ".local" / "demo" / stack.name
    logs.mkdir(parents=True, exist_ok=True)
    launched: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(1, count + 1):
            with _log(logs, number).open("w") as log:
                launched.append(
                    subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL, start_new_session=keep)
                )
        # The one with the first port is to be the first, whichever was quicker.
        serving = sorted((_address(one, _log(logs, number)), number) for number, one in enumerate(launched, 1))
        workers = [
            Worker(name=f"worker {place}", process=launched[number - 1], address=address, log=_log(logs, number))
            for place, (address, number) in enumerate(serving, 1)
        ]
        yield workers
        if keep:
            _say_how_to_end(stack, [worker for worker in workers if worker.runs])
            return
        _stop([worker for worker in workers if worker.runs])
        shutil.rmtree(logs)
    except BaseException:
        for process in launched:
            process.kill()
            process.wait()
        say(f"the logs of the workers are in {logs.relative_to(ROOT)}")
        raise


def _log(logs: Path, number: int) -> Path:
    return logs / f"worker-{number}.log"


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where the worker serves, by its own log: the default port may be taken."""
    until = time.monotonic() + _START
    while time.monotonic() < until:
        for line in log.read_text().splitlines():
            if f" serving fanout_{ID}_{TOPIC} at " in line:
                return line.rpartition(" at ")[2]
        if process.poll() is not None:
            raise SystemExit(f"a worker did not start:\n{log.read_text()}")
        time.sleep(0.05)
    raise SystemExit(f"a worker is not up after {_START:.0f} s:\n{log.read_text()}")


def _stop(workers: Sequence[Worker]) -> None:
    say(f"stopping {listed(workers)} ...")
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    codes = [worker.process.wait(_STOP) for worker in workers]
    say(f"ended with exit code {listed(codes)}")
    if any(codes):
        raise SystemExit("each should have ended with 0")


def _say_how_to_end(stack: Stack, workers: Sequence[Worker]) -> None:
    say(f"\nleft running: stack {stack.name}")
    for worker in workers:
        say(f"              {worker}, log {worker.log.relative_to(ROOT)}")
    say(f"end it with: kill {' '.join(str(worker.process.pid) for worker in workers)}; "
        f"bin/stack down --name {stack.name}")  # fmt: skip
