"""Asks for what is too much to be read at once, and reads it only if it is not."""

from __future__ import annotations

import asyncio
import socket
import struct

#: Of an answer so much longer than what we have read of it, no kernel takes the rest: the buffer of a sending socket
#: grows to 4 MiB, and ours to receive is kept small.
_TOO_MUCH = 8 << 20
_RECEIVES = 1 << 16


async def read_unless_it_is_too_much(url: str, body: bytes) -> tuple[int, bytes | None]:
    """The status and body of the answer to a pull; no body if it was not read."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVES)
    # Whatever happens, it goes with a reset.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    loop = asyncio.get_running_loop()

    async def more(count: int) -> bytes:
        got = await loop.sock_recv(connection, count)
        if not got:
            raise ConnectionResetError("closed in the middle of an answer")
        return got

    try:
        await loop.sock_connect(connection, (host, int(port)))
        request = f"POST /v1/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        await loop.sock_sendall(connection, request + body)
        read = b""
        while b"\r\n\r\n" not in read:
            read += await more(1024)
        head, _, rest = read.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status, length = int(first.split()[1]), int(headers.get("content-length", "0"))
        if length > _TOO_MUCH:
            return status, None
        while len(rest) < length:
            rest += await more(1 << 20)
        return status, rest
    finally:
        connection.close()
