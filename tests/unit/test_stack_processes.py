"""When a server of bin/stack counts as ended: what it held is free only then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from compose.local import processes
from support.eventually import eventually

#: Its first thread ends, another goes on, as those of a JVM do for a while after a signal.
HEADLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=[60]).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def headless() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", HEADLESS])


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_a_process_whose_first_thread_alone_has_ended_runs() -> None:
    process = headless()
    started = processes.start_time(process.pid)
    assert started is not None
    try:
        await eventually(lambda: state(process.pid) == "Z")
        assert processes.start_time(process.pid) == started
    finally:
        assert processes.kill([(process.pid, started)]) == []
    process.wait()
    assert processes.start_time(process.pid) is None
