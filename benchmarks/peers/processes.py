"""What the systems share about processes: free ports, starting and ending servers, the load generator."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.peers.system import CACHE, ROOT, CannotRun, Cpu, Percentiles, Run

#: Which processes' CPU is to be counted, by "server" or "broker".
Pids = Mapping[str, Sequence[int]]


def free_port() -> int:
    """A port of the loopback that nobody has at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def launch(command: Sequence[str | Path], log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """A server whose output goes to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT, env=os.environ | environment
        )


async def end(process: subprocess.Popen[bytes] | None, patience: float = 15.0) -> None:
    """SIGTERM, and SIGKILL after `patience` seconds, or at once for who is cancelled; nothing where it is gone."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, patience)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


async def listening(port: int, process: subprocess.Popen[bytes], log: Path, patience: float = 30.0) -> None:
    """Return when something answers at the port. Raises CannotRun with the end of the log if that does not happen."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while loop.time() < until and process.poll() is None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)
    raise CannotRun(f"{process.args!r} does not listen: {tail(log)}")


def tail(log: Path) -> str:
    """The end of what a server wrote."""
    return log.read_text(errors="replace")[-500:].strip() if log.exists() else "(no log)"


async def output_of(command: Sequence[str | Path], patience: float = 600.0) -> str:
    """What a command prints. Raises RuntimeError with the end of what it said on stderr, also for want of patience."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        out, said = await asyncio.wait_for(process.communicate(), patience)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {process.returncode}: {said.decode()[-800:]}")
    return out.decode()


async def python(module: str, *arguments: str) -> Any:
    """Run one of our own modules in a process of its own; answers the JSON it prints."""
    return json.loads(await output_of([sys.executable, "-m", module, *arguments]))


async def load_generator() -> Path:
    """The program of benchmarks/load, built anew where its source is newer. Raises CannotRun for want of Go."""
    program = CACHE / "load"
    sources = [path for path in (ROOT / "benchmarks/load").iterdir() if path.suffix in (".go", ".mod")]
    if program.exists() and program.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return program
    if shutil.which("go") is None:
        raise CannotRun("no go found, which the load generator is built with: https://go.dev/dl (1.22 or newer)")
    CACHE.mkdir(parents=True, exist_ok=True)
    # -C, since a module is built from within its folder only.
    await output_of(["go", "build", "-C", str(ROOT / "benchmarks/load"), "-o", str(program), "."])
    return program


def pids_argument(pids: Pids) -> str:
    """As the load generator and the clients of this package read it."""
    return ";".join(f"{name}={','.join(map(str, some))}" for name, some in pids.items() if some)


def run_of(said: Mapping[str, Any]) -> Run:
    """What the load generator, or a client of this package, printed at its end."""
    cpu = said["cpu"]
    timed = {"pull": "pull", "ack": "ack", "hand_out": "hand-out", "request": "request"}
    return Run(
        messages=said["messages"],
        duplicates=said["duplicates"],
        seconds=said["seconds"],
        until_first=said["until_first"],
        cpu=Cpu(server=cpu.get("server"), broker=cpu.get("broker"), clients=cpu["load"]),
        latencies={name: Percentiles(**said[key]) for key, name in timed.items() if said.get(key)},
    )
