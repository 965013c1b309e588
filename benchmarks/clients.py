"""Clients for measurements: one connection each, as little work a message as will do, since they share the CPUs."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, Self

import msgspec

from benchmarks.support import post, request

_BATCH = re.compile(rb'"batch":"([^"]+)"')
_ACKED = re.compile(rb'"acked":(\d+)')


class Puller:
    """One client that looks at what it gets."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._name = name
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int, name: str) -> Self:
        return cls(name, *await asyncio.open_connection("127.0.0.1", port, limit=1 << 24))

    async def pull(self, most: int, **fields: Any) -> dict[str, Any]:
        return await self._post("/v1/pull", {"client": self._name, "max_messages": most, **fields})

    async def settle(self, **fields: Any) -> dict[str, Any]:
        return await self._post("/v1/settle", fields)

    def close(self) -> None:
        """Hang up; nobody waits until that is done."""
        self._writer.close()

    async def _post(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        status, body = await post(self._reader, self._writer, path, msgspec.json.encode(fields))
        if status not in (200, 204):
            raise RuntimeError(f"{path}: {status} {body[:300]!r}")
        answer: dict[str, Any] = msgspec.json.decode(body) if body else {"messages": []}
        return answer


class Load:
    """Clients that pull and ack in one request, and look at nothing but the batch."""

    def __init__(self, port: int, *, clients: int, batch: int) -> None:
        self._port = port
        self._clients = clients
        self._batch = batch
        self._last = 0.0
        #: Seconds from the first pull to the last ack.
        self.seconds = 0.0
        #: The longest time, in seconds, between two answers with messages, to whichever clients.
        self.longest_stall = 0.0
        self.acked = 0

    async def drain(self, messages: int) -> None:
        """Pull and ack so many messages."""
        began = self._last = time.monotonic()
        await asyncio.gather(*(self._client(f"load {number}", messages) for number in range(self._clients)))
        self.seconds = time.monotonic() - began
        if self.acked != messages:
            raise RuntimeError(f"{self.acked} of {messages} acked")

    async def _client(self, name: str, messages: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 24)
        settle = b""
        while self.acked < messages:
            body = b'{"client":"%b","max_messages":%d,"wait_ms":300%b}' % (name.encode(), self._batch, settle)
            status, answer = await post(reader, writer, "/v1/pull", body)
            if status not in (200, 204):
                raise RuntimeError(f"{status}: {answer[:300]!r}")
            if settle:
                counted = _ACKED.search(answer)
                self.acked += int(counted[1]) if counted else 0
            token = _BATCH.search(answer)
            if token:
                now = time.monotonic()
                self.longest_stall = max(self.longest_stall, now - self._last)
                self._last = now
            settle = b',"settle":{"ack":["%b"]}' % token[1] if token else b""
        writer.close()


async def get(port: int, path: str) -> Any:
    """A GET on a connection of its own; the answer's JSON."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    status, body = await request(reader, writer, "GET", path, b"")
    writer.close()
    if status != 200:
        raise RuntimeError(f"{path}: {status} {body[:300]!r}")
    return msgspec.json.decode(body)
