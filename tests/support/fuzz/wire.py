"""Sends bytes, and reads whatever is answered to them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

#: On top of what a pull may wait (`docs/api.md`): on a machine under load more than its 5 s.
_GRACE = 30.0


@dataclass(frozen=True, slots=True)
class Got:
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(port: int, raw: bytes, wait: float = 0.0) -> Got:
    """What is answered to this request, the only one of its connection, which may wait for so many seconds.

    Raises:
        TimeoutError: nothing, in time.
        EOFError: nothing: hung up on.
    """
    async with asyncio.timeout(wait + _GRACE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(raw)
            while (got := await _answer(reader, raw)).status == 100:
                pass
            return got
        finally:
            writer.transport.abort()


async def _answer(reader: asyncio.StreamReader, raw: bytes) -> Got:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    parts = (line.partition(": ") for line in head[1:] if line)
    headers = {name.lower(): value for name, _, value in parts}
    status = int(head[0].split(" ", 2)[1])
    bare = raw.startswith(b"HEAD ") or status in (100, 204)
    body = b"" if bare else await reader.readexactly(int(headers.get("content-length", "0")))
    return Got(status, headers, body)
