"""Processes that outlive the command that started them, and are ended only if they are still the same.

A pid alone says nothing once its process has ended: another may bear it by then. Hence each is kept
together with the time at which it started, and checked against /proc before any signal.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

POLL = 0.05
KILL_DEADLINE = 10.0


def start_time(pid: int) -> int | None:
    """In the kernel's ticks since boot; none when the process has ended, reaped or not."""
    fields = _fields(pid)
    return int(fields[19]) if fields and not _has_ended(fields) else None


def is_stopped(pid: int) -> bool:
    fields = _fields(pid)
    return bool(fields) and fields[0] == "T"


def memory_mib(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    return 0


def send(pid: int, started: int, signum: int) -> bool:
    if start_time(pid) != started:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
        return True
    return False


def end(processes: list[tuple[int, int]], *, grace: float) -> list[int]:
    """Asks all, waits, kills those that are left; answers the pids of any that survived even that."""
    for pid, started in processes:
        send(pid, started, signal.SIGTERM)
        send(pid, started, signal.SIGCONT)  # a stopped process takes no SIGTERM
    return kill(_still_there(processes, grace))


def kill(processes: list[tuple[int, int]]) -> list[int]:
    """The pids of any that survived."""
    for pid, started in processes:
        send(pid, started, signal.SIGKILL)
    return [pid for pid, _ in _still_there(processes, KILL_DEADLINE)]


def _still_there(processes: list[tuple[int, int]], patience: float) -> list[tuple[int, int]]:
    deadline = time.monotonic() + patience
    while True:
        left = [(pid, started) for pid, started in processes if _is(pid, started)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(POLL)


def _is(pid: int, started: int) -> bool:
    with suppress(ChildProcessError, OSError):
        os.waitpid(pid, os.WNOHANG)  # when it is our own child, nobody else collects it
    return start_time(pid) == started


def _has_ended(fields: list[str]) -> bool:
    """Its last thread, too. One whose first thread alone has ended is a zombie already, with its files still open."""
    state, threads = fields[0], int(fields[17])
    return state in "ZX" and threads <= 1


def _fields(pid: int) -> list[str]:
    """What follows the command's name (which may hold anything) in the process's stat line: state first."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
