"""bin/isolated, the world that faults are done in: a command runs there as anywhere, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.eventually import eventually
from support.stack import ROOT

ISOLATED = ROOT / "bin" / "isolated"
STACKS = ROOT / ".local" / "stacks"

#: Its first line, and then it ends with 3 at a SIGTERM; its child goes on.
WAITS_FOR_SIGTERM = "trap 'exit 3' TERM; setsid sleep 3600 & echo ready; wait"


def isolated(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ISOLATED, *command], capture_output=True, text=True, timeout=60, check=False)


def begun(command: Sequence[str | Path]) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def below(pid: int) -> set[int]:
    """All processes that this one has begun, and those that they have."""
    found: set[int] = set()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found |= {int(child), *below(int(child))}
    return found


def gone(pids: set[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_the_exit_code_is_that_of_the_command() -> None:
    assert isolated("sh", "-c", "exit 7").returncode == 7
    assert isolated("sh", "-c", "kill -9 $$").returncode == 128 + signal.SIGKILL


def test_a_command_that_is_not_there_is_named() -> None:
    done = isolated("no-such-command")
    assert done.returncode == 127
    assert "no-such-command" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_network_processes_and_stacks_are_its_own() -> None:
    devices = isolated("cat", "/proc/net/dev").stdout.splitlines()[2:]
    assert [line.partition(":")[0].strip() for line in devices] == ["lo"]
    served = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    assert isolated(sys.executable, "-c", served).returncode == 0
    assert isolated("sh", "-c", "kill -0 $PPID && echo $PPID").stdout == "1\n"
    kept = STACKS / f"test-isolated-{os.getpid()}"
    assert isolated("mkdir", str(kept)).returncode == 0
    assert not kept.exists()


async def test_a_signal_is_passed_on_and_the_rest_ends_with_the_command() -> None:
    with begun([ISOLATED, "sh", "-c", WAITS_FOR_SIGTERM]) as process:
        pids = below(process.pid)
        assert len(pids) == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 3
    await eventually(lambda: gone(pids))


async def test_nothing_outlives_its_being_killed() -> None:
    with begun([ISOLATED, "sh", "-c", WAITS_FOR_SIGTERM]) as process:
        pids = below(process.pid)
        process.kill()
        await eventually(lambda: gone(pids))


def test_where_the_kernel_forbids_it_one_line_says_what_to_do() -> None:
    forbid = 'echo 0 > /proc/sys/user/max_net_namespaces; exec "$0" true'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, ISOLATED],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "run it as root" in done.stderr


def test_a_tool_that_is_missing_is_named(tmp_path: Path) -> None:
    for tool in ("sh", "dirname", "unshare", "mount"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    done = subprocess.run([ISOLATED, "true"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "bin/isolated: no ip found: apt-get install iproute2\n"
