"""Whatever was started is gone when `end` returns, however it returns."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

from benchmarks.peers.processes import end

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()"
OBEDIENT = "import signal; print(1, flush=True); signal.pause()"


def started(program: str) -> subprocess.Popen[bytes]:
    """A process that has come as far as its first line."""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    return process


async def test_it_is_asked_first() -> None:
    process = started(OBEDIENT)

    await end(process)

    assert process.returncode == -signal.SIGTERM


async def test_what_does_not_listen_is_killed() -> None:
    process = started(DEAF)

    await end(process, patience=0.05)

    assert process.returncode == -signal.SIGKILL


async def test_what_does_not_listen_is_killed_at_once_when_there_is_no_time_left() -> None:
    process = started(DEAF)
    ending = asyncio.ensure_future(end(process, patience=60))
    await asyncio.sleep(0)

    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending

    assert process.returncode == -signal.SIGKILL


async def test_what_is_gone_or_was_never_there_is_left_alone() -> None:
    process = started(OBEDIENT)
    process.kill()
    process.wait()

    await end(process)
    await end(None)

    assert process.returncode == -signal.SIGKILL
