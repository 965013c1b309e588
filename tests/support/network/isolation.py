"""The inside of `bin/isolated`: begins a world of processes whose end ends all of them, and runs a command in it.

Started by ``unshare`` in a network and mounts of its own, with the next child to be the first process of its kind. For
Python's standard library alone, since it may run before anything is installed.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

#: Set for whatever runs inside.
VARIABLE = "TESTS_ISOLATED"
STACKS = Path(__file__).resolve().parents[3] / ".local" / "stacks"
#: Where `ip` keeps the names of namespaces; all of it, since only root may make a folder there.
_RUN = Path("/run")

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_PR_SET_PDEATHSIG = 1
#: As a shell has it.
_NOT_FOUND = 127
_BY_SIGNAL = 128


def inside() -> bool:
    """Whether this process is in a world of its own."""
    return os.environ.get(VARIABLE) == "1"


def main(command: list[str]) -> NoReturn:
    if not command:
        sys.exit("usage: bin/isolated COMMAND [ARGUMENT...]")
    alive, kept = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    first = os.fork()
    if first == 0:
        os.close(kept)
        _first_process(command, alive)
    _pass_signals_on(first)
    _, status = os.waitpid(first, 0)
    # Killed from outside, and with it all the others: there is nothing to pass on but that.
    sys.exit(_code(status))


def _first_process(command: list[str], alive: int) -> NoReturn:
    """What ends, by the kernel's hand, all that is left when it ends: pid 1 of this world."""
    os.setsid()  # a terminal's Ctrl-C is for the parent, which passes it on once
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([alive], [], [], 0)[0]:
        os._exit(_BY_SIGNAL + signal.SIGKILL)  # the parent had ended before it was watched
    try:
        _furnish()
        child = subprocess.Popen(command, env={**os.environ, VARIABLE: "1"}, preexec_fn=_take_signals)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"bin/isolated: {error}\n")
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else 1)
    _pass_signals_on(child.pid)
    while True:
        ended, status = os.wait()  # orphans, too
        if ended == child.pid:
            os._exit(_code(status))


def _take_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)


def _furnish() -> None:
    STACKS.mkdir(parents=True, exist_ok=True)
    for path in (_RUN, STACKS):
        _run("mount", "-t", "tmpfs", "tmpfs", str(path))
    _run("mount", "-t", "proc", "proc", "/proc")
    (_RUN / "netns").mkdir()
    _run("ip", "link", "set", "lo", "up")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(
            f"{' '.join(command)}: {done.stderr.strip()}: run it as root, or in a container with --privileged"
        )


def _pass_signals_on(pid: int) -> None:
    def pass_on(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _BY_SIGNAL - code


if __name__ == "__main__":
    main(sys.argv[1:])
