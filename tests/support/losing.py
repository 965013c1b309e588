"""A way to a worker on which answers with messages are lost: the worker has sent them, no client gets them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_CHUNK = 1 << 16


@asynccontextmanager
async def losing_answers(url: str, *, times: int) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Where to reach the worker instead, and an event: so many answers that hold a lease were lost."""
    to = urlsplit(url)
    lost = asyncio.Event()
    left = times
    carrying: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        there, back = await asyncio.open_connection(to.hostname, to.port)

        async def out() -> None:
            while data := await reader.read(_CHUNK):
                back.write(data)
            back.close()

        going = asyncio.create_task(out())
        try:
            while data := await there.read(_CHUNK):
                # As JSON and as msgpack: of an answer that gives something, small enough to come at once.
                if left and b"lease_ends_unix_ms" in data:
                    left -= 1
                    if not left:
                        lost.set()
                    break
                writer.write(data)
        finally:
            going.cancel()
            back.close()
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(carry(reader, writer))
        carrying.add(task)
        task.add_done_callback(carrying.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}", lost
    finally:
        server.close()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
