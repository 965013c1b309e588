"""A load balancer: one address for several workers, as most have it in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

_CHUNK = 1 << 16


class Balancer:
    """Passes each connection on to the first of these addresses that takes it."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = [(host, int(port)) for host, _, port in (server.rpartition(":") for server in servers)]
        self._ends: set[asyncio.Task[None]] = set()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def of(cls, *servers: str) -> AsyncIterator[Self]:
        """In front of these, ``HOST:PORT`` each, until the end of the block."""
        balancer = cls(servers)
        listening = await asyncio.start_server(balancer._connected, "127.0.0.1", 0)
        balancer.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        try:
            yield balancer
        finally:
            listening.close()
            for end in list(balancer._ends):
                end.cancel()
            await asyncio.gather(*balancer._ends, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for host, port in self._servers:
                with suppress(OSError):
                    there, back = await asyncio.open_connection(host, port)
                    break
            else:
                return
            try:
                # Whichever end hangs up first, the other one is hung up on.
                ways = [asyncio.create_task(_pass_on(*way)) for way in ((reader, back), (there, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            finally:
                back.close()
        finally:
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
