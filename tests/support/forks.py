"""Workers forked from a process that has imported all they import, which is two thirds of what a start costs.

Such a worker goes its whole way from `main` on. What a start has before that, the command itself and its imports, is
there in the tests that ask for ``command="fanout"``, and wherever a worker is of another installation or at a node.

As a script this is that process. It ends with the one that started it, and its workers with both.
"""

from __future__ import annotations

import atexit
import gc
import inspect
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

_LARGEST = 1 << 20


class Request(NamedTuple):
    """What a worker is to be: what `subprocess.Popen` would be told."""

    arguments: list[str]
    folder: str
    variables: dict[str, str]


class Fork:
    """A worker, with as much of `subprocess.Popen` as tests use."""

    def __init__(self, pid: int, told: int) -> None:
        self.pid = pid
        self._told = told
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None and select.select([self._told], [], [], 0)[0]:
            self.wait()
        return self._code

    def wait(self) -> int:
        if self._code is None:
            said = os.read(self._told, 4)
            if not said:
                raise RuntimeError(f"how {self.pid} ended is not known: what it was forked from has ended itself")
            self._code = int.from_bytes(said, "little", signed=True)
            os.close(self._told)
        return self._code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Forks:
    """The other end of the script."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen([sys.executable, __file__, str(number)], pass_fds=[number])
        atexit.register(self._close)

    def fork(self, request: Request, log: BinaryIO) -> Fork:
        told, tells = os.pipe()
        try:
            socket.send_fds(self._requests, [json.dumps(request).encode()], [log.fileno(), tells])
        finally:
            os.close(tells)
        return Fork(int.from_bytes(os.read(told, 4), "little"), told)

    def _close(self) -> None:
        self._requests.close()
        self._process.wait()


@cache
def _forks() -> _Forks:
    return _Forks()


def fork(arguments: Sequence[str], folder: Path, variables: Mapping[str, str], log: BinaryIO) -> Fork:
    """Start ``fanout`` with these arguments; those of the launcher go before ``--``, if there are any."""
    return _forks().fork(Request(list(arguments), str(folder), dict(variables)), log)


# The script -----------------------------------------------------------------------------------------------------------


def _next_start(requests: socket.socket) -> Request:
    """Fork for each request, and answer it in the new process. Whoever asked is told its pid, then its exit code."""
    asked = requests.fileno()
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    handlers = {
        signal.SIGCHLD: signal.signal(signal.SIGCHLD, lambda *_: None),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
    }
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([asked, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            for pid, status in iter(_ended, None):
                tells = running.pop(pid)
                with suppress(BrokenPipeError):  # nobody wants to know any more
                    os.write(tells, os.waitstatus_to_exitcode(status).to_bytes(4, "little", signed=True))
                os.close(tells)
        if asked in ready:
            data, (*fds,), _, _ = socket.recv_fds(requests, _LARGEST, 2)
            if not data:
                for pid in running:
                    os.kill(pid, signal.SIGKILL)
                os._exit(0)
            log, tells = fds
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                for said_to in (1, 2):
                    os.dup2(log, said_to)
                for fd in (log, tells, woken, wakes, *running.values()):
                    os.close(fd)
                requests.close()
                return Request(*json.loads(data))
            os.write(tells, pid.to_bytes(4, "little"))
            os.close(log)
            running[pid] = tells


def _ended() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _main() -> None:
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    import fanout_app.application
    import fanout_app.memory.worker  # noqa: F401 - both are imported by a worker when it knows which one it is
    from fanout_app.__main__ import main
    from support.launcher import launch

    # Once for all: which file each module is of, for who looks for that of a caller; and what is here is no garbage.
    inspect.getmodule(inspect.currentframe())
    gc.freeze()
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    request = _next_start(socket.socket(fileno=int(sys.argv[1])))
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.variables)
    sys.argv = ["fanout", *request.arguments]
    if "--" in request.arguments:
        launch(request.arguments)
    else:
        main()


if __name__ == "__main__":
    _main()
