"""Clients that cannot read the CPU clock of another process themselves: their parent does it when they say so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.processes import Pids, tail
from benchmarks.peers.system import ROOT
from benchmarks.support import cpu_seconds


async def watched(command: Sequence[str | Path], pids: Pids, log: Path, patience: float = 600.0) -> Mapping[str, Any]:
    """Run a client that prints "first", "last" and a JSON document; answers that, with "cpu" as `run_of` reads it.

    After "last" the client waits for the end of its input, so that it is still there when its clock is read.
    The client's own CPU is that of its process, unless it says "cpu_clients" for processes that it has itself.
    Raises RuntimeError with the end of what it said on stderr, which goes to `log`.
    """
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors, cwd=ROOT
        )
    try:
        said = await asyncio.wait_for(_follow(process, pids), patience)
        code = await asyncio.wait_for(process.wait(), patience)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code or "seconds" not in said:
        raise RuntimeError(f"{Path(command[0]).name} ended with {code}: {tail(log)}")
    return said


async def _follow(process: asyncio.subprocess.Process, pids: Pids) -> Mapping[str, Any]:
    groups = {**pids, "load": [process.pid]}
    before: dict[str, float] = {}
    used: dict[str, float] = {}
    said: dict[str, Any] = {}
    assert process.stdin
    assert process.stdout
    async for line in process.stdout:
        match line.strip():
            case b"first":
                before = _read(groups)
            case b"last":
                used = {name: seconds - before.get(name, seconds) for name, seconds in _read(groups).items()}
                process.stdin.close()
            case document:
                said = json.loads(document)
    if "cpu_clients" in said:
        used["load"] = said["cpu_clients"]
    return {**said, "cpu": used}


def _read(groups: Pids) -> dict[str, float]:
    return {name: sum(cpu_seconds(pid) for pid in pids) for name, pids in groups.items()}
