"""Programs that use a client library, as processes: what they handle, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
#: Where the Go handler is built, once for all tests.
_BUILT = ROOT / ".local" / "go-handler"

LIBRARIES = ("asyncio", "threads", "go")


def script(n: int, **says: Any) -> str:
    """A message that says what the handler is to do with it."""
    return json.dumps({"n": n, **says})


class Event(NamedTuple):
    """A line that a handler has written; ``what`` is `begin` or how it ended."""

    what: str
    n: int
    delivery: int


class Program:
    """One process whose handlers do as they are told, see `support.handlers`."""

    def __init__(self, library: str, folder: Path, *arguments: str) -> None:
        self._said = folder / f"program-{time.monotonic_ns()}.jsonl"
        self._log = self._said.with_suffix(".log")
        path = f"{ROOT / 'clients' / 'python'}:{ROOT / 'tests'}"
        with self._said.open("wb") as said, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*_command(library), *arguments],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL, stdout=said, stderr=log,
            )  # fmt: skip

    def events(self) -> list[Event]:
        # The last line may be half written.
        lines = self._said.read_text().split("\n")[:-1]
        return [Event(row["event"], row["n"], row["count"]) for row in map(json.loads, lines)]

    def ended(self, what: str = "ok") -> Counter[int]:
        """How often each message ended so."""
        return Counter(event.n for event in self.events() if event.what == what)

    def began(self) -> Counter[int]:
        return self.ended("begin")

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    async def stop(self, deadline: float = 20.0) -> int:
        """SIGTERM, and how it ended."""
        self.process.send_signal(signal.SIGTERM)
        await eventually(lambda: self.process.poll() is not None, deadline)
        return self.process.wait()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Programs:
    """Starts those of one test, and ends them with it."""

    def __init__(self, library: str, folder: Path) -> None:
        self._library = library
        self._folder = folder
        self.all: list[Program] = []

    def start(self, *workers: str, **options: Any) -> Program:
        """Options by their names: ``ack_wait=1.0``."""
        given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        program = Program(self._library, self._folder, f"--workers={','.join(workers)}", *given)
        self.all.append(program)
        return program

    def ended(self, what: str = "ok") -> Counter[int]:
        """Over all of them."""
        return sum((program.ended(what) for program in self.all), Counter())

    def began(self) -> Counter[int]:
        return self.ended("begin")

    def close(self) -> None:
        for program in self.all:
            program.close()


def _command(library: str) -> list[str]:
    if library == "go":
        return [str(built_go_handler())]
    name = {"asyncio": "asynchronous", "threads": "threads"}[library]
    return [sys.executable, "-m", f"support.handlers.{name}"]


def built_go_handler() -> Path:
    """The Go compiler keeps what has not changed; processes of tests that build at once wait for each other there."""
    _BUILT.parent.mkdir(exist_ok=True)
    mine = _BUILT.with_suffix(f".{os.getpid()}")
    subprocess.run(
        ["go", "build", "-o", str(mine), "./internal/handler"], cwd=ROOT / "clients" / "go", check=True,
        env={**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"},
    )  # fmt: skip
    mine.replace(_BUILT)
    return _BUILT
