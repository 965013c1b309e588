"""Loopback ports for servers: picked where nothing else picks, and held until their server has them.

The range lies below the kernel's ephemeral ports, so that no outgoing connection takes one of ours
between two starts of a server.
"""

from __future__ import annotations

import random
import socket
from types import TracebackType

HOST = "127.0.0.1"
RANGE = range(20_000, 30_000)


class Ports:
    """Ports that only their servers can take, for as long as the context lasts.

    A socket is bound without SO_REUSEADDR, which fails if anyone has the port, and given the option
    afterwards: then a server may bind it too (Java always asks for reuse) and listen, while another
    picker still fails.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._held: list[socket.socket] = []

    def __enter__(self) -> Ports:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for held in self._held:
            held.close()

    def avoid(self, ports: set[int]) -> None:
        self._taken |= ports

    def pick(self) -> int:
        for port in random.sample(RANGE, len(RANGE)):
            if port not in self._taken and self._hold(port):
                return port
        raise OSError(f"no free port between {RANGE.start} and {RANGE.stop}")

    def claim(self, port: int) -> int:
        """A port that the caller chose; connections of an earlier server that linger there do not matter."""
        if port in self._taken or not self._hold(port, lingering_matters=False):
            raise OSError(f"port {port} is taken")
        return port

    def _hold(self, port: int, *, lingering_matters: bool = True) -> bool:
        held = socket.socket()
        if not lingering_matters:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind((HOST, port))
        except OSError:
            held.close()
            return False
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.append(held)
        self._taken.add(port)
        return True
