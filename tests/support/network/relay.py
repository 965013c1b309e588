"""A link that delays and loses frames, for kernels without netem: a process that passes them on in its own time.

It takes the place of a node's plug in the switch: ``node -- plug -- (this process) -- inner -- outer -- switch``.
"""

from __future__ import annotations

import random
import select
import socket
import subprocess
import sys
from collections import deque
from time import monotonic

from support.network.commands import answer_for_nobody, ip

#: From the kernel's headers; Python names none of them.
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING, _ETH_P_ALL = 263, 15, 23, 3
#: A frame may be a whole segment that a network card would have cut into pieces.
_LARGEST = 1 << 17
_READY = "ready\n"


class Relay:
    """There until it is closed; connections outlive both its coming and its end."""

    def __init__(self, plug: str, switch: str, seconds: float, *, jitter: float, loss: float) -> None:
        self._plug, self._switch = plug, switch
        self._outer, inner = f"outer-{plug}", f"inner-{plug}"
        ip("link", "add", self._outer, "type", "veth", "peer", "name", inner)
        answer_for_nobody(inner)
        ip("link", "set", inner, "up")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.network.relay", plug, inner, str(seconds), str(jitter), str(loss)],
            env={"PYTHONPATH": ":".join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != _READY:
            raise RuntimeError(f"the relay at {plug} ended with {self._process.wait()}")
        ip("link", "set", plug, "nomaster")
        ip("link", "set", self._outer, "master", switch, "up")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        ip("link", "del", self._outer)
        ip("link", "set", self._plug, "master", self._switch)


class _Way:
    """One direction. Frames keep their order, as on a cable."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self._target = target
        self._under_way: deque[tuple[float, bytes]] = deque()

    def take(self, now: float, seconds: float, jitter: float, loss: float) -> None:
        frame = self.source.recv(_LARGEST)
        if random.random() >= loss:
            self._under_way.append((now + seconds + random.uniform(0, jitter), frame))

    def pass_on(self, now: float) -> float | None:
        """What has arrived; when the next is to, if there is one."""
        while self._under_way and self._under_way[0][0] <= now:
            try:
                self._target.send(self._under_way.popleft()[1])
            except OSError:
                continue  # no room, or the other end is down: a cable loses it, too
        return self._under_way[0][0] if self._under_way else None


def _open(device: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    # With what the kernel knows of checksums and segments that are still to be made: so they are, behind us.
    opened.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    opened.bind((device, _ETH_P_ALL))
    return opened


def relay(one: str, other: str, seconds: float, jitter: float, loss: float) -> None:
    ends = _open(one), _open(other)
    ways = [_Way(ends[0], ends[1]), _Way(ends[1], ends[0])]
    sys.stdout.write(_READY)
    sys.stdout.flush()
    while True:
        due = [arrives for way in ways if (arrives := way.pass_on(monotonic())) is not None]
        ready, _, _ = select.select(ends, [], [], max(0.0, min(due) - monotonic()) if due else None)
        for way in ways:
            if way.source in ready:
                way.take(monotonic(), seconds, jitter, loss)


if __name__ == "__main__":
    relay(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
