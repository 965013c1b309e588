"""Requests and answers as bytes, for tests of what no client library shows."""

from __future__ import annotations

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PULL = b'{"client":"ann","wait_ms":0}'


def request(body: bytes = PULL, *lines: str, path: str = "/v1/pull", method: str = "POST") -> bytes:
    head = (f"{method} {path} HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *lines, "", "")
    return "\r\n".join(head).encode() + body


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: StreamReader) -> tuple[bytes, bytes]:
    """Head and body of the next one."""
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        return re.sub(rb"Date: .*\r\n", b"", head), await reader.readexactly(int(length[1])) if length else b""
