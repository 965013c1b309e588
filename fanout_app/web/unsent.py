"""Hangs up on clients that do not take their answers: the bytes would wait here for as long as they like."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Final

#: Where `tcpi_bytes_acked` is in TCP_INFO (Linux 4.1 and later), and what it ends at.
_BYTES_ACKED: Final = 120
_INFO_SIZE: Final = 128


class Unsent:
    """Looks now and then at what of its answers a client has not taken. As long as it gets less all is well."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        """``patience`` is in seconds."""
        self._loop = loop
        self._patience = patience
        self._next_look: asyncio.TimerHandle | None = None

    def watch(self, transport: asyncio.WriteTransport) -> None:
        """From now on, until nothing is left or `forget`."""
        if self._next_look is None:
            self._look_later(transport)

    def forget(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def _look_later(self, transport: asyncio.WriteTransport) -> None:
        if transport.get_write_buffer_size():
            self._next_look = self._loop.call_later(self._patience, self._look, transport, _not_taken(transport))

    def _look(self, transport: asyncio.WriteTransport, before: int) -> None:
        self._next_look = None
        if _not_taken(transport) >= before:
            transport.abort()
        else:
            self._look_later(transport)


def _not_taken(transport: asyncio.WriteTransport) -> int:
    """Bytes that wait here and in the kernel, which takes more of them only when a third of its own have left.

    With TLS there are some between the two that nobody sees. There it is counted from what the client has taken: less
    than nothing, and less than before where it has taken any.
    """
    connection: socket.socket | None = transport.get_extra_info("socket")
    if transport.get_extra_info("sslcontext") is not None and (taken := _taken(connection)) is not None:
        return -taken
    in_kernel = 0
    if sys.platform == "linux" and connection is not None and connection.fileno() >= 0:
        (in_kernel,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    return transport.get_write_buffer_size() + in_kernel


def _taken(connection: socket.socket | None) -> int | None:
    """Bytes that the other end has acknowledged since it connected; None where the kernel does not say."""
    if sys.platform != "linux" or connection is None or connection.fileno() < 0:
        return None
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
    return struct.unpack_from("Q", info, _BYTES_ACKED)[0] if len(info) == _INFO_SIZE else None
