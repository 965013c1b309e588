"""A client as an application would write it: pulls, works, settles."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from support.workers import Worker

#: On top of what a pull may wait: an answer that takes longer hangs (`docs/api.md` allows 5 s).
_GRACE = 8.0
_DEFAULT_WAIT_MS = 20_000
#: What one pull may ask for.
_MOST = 1000
_VERBS = ("extend", "nack", "reject", "ack")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message of an answer."""

    lease: str
    partition: int
    offset: int
    value: str | None
    delivery_count: int

    @classmethod
    def of(cls, wire: dict[str, Any]) -> Self:
        return cls(**{name: wire[name] for name in ("lease", "partition", "offset", "value", "delivery_count")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a settle."""

    status: int
    acked: int = 0
    nacked: int = 0
    extended: int = 0
    rejected: int = 0
    #: Lease -> status, of those that were not plainly done.
    results: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, wire: dict[str, Any]) -> Self:
        counts = {name: wire.get(name, 0) for name in ("acked", "nacked", "extended", "rejected")}
        return cls(status=status, results={row["lease"]: row["status"] for row in wire.get("results", [])}, **counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """The answer to a pull."""

    status: int
    messages: list[Delivery] = field(default_factory=list)
    batch: str = ""
    #: Why there is no message.
    empty: str = ""
    settled: Settled | None = None

    @property
    def values(self) -> list[str | None]:
        return [message.value for message in self.messages]

    @property
    def leases(self) -> list[str]:
        return [message.lease for message in self.messages]

    @property
    def one(self) -> Delivery:
        """The message, where exactly one is due."""
        (message,) = self.messages
        return message


class Client:
    """One client, by its name. Talks to the worker it was made with, unless told another one."""

    def __init__(self, session: aiohttp.ClientSession, worker: Worker, name: str) -> None:
        self.name = name
        self._session = session
        self._worker = worker

    async def pull(self, *, at: Worker | None = None, wait_ms: int = _DEFAULT_WAIT_MS, **fields: Any) -> Pulled:
        """Fields as `docs/api.md` has them."""
        body = {"client": self.name, "encoding": "utf8", "wait_ms": wait_ms, **fields}
        timeout = aiohttp.ClientTimeout(total=wait_ms / 1000 + _GRACE)
        url = f"{(at or self._worker).url}/v1/pull"
        async with self._session.post(url, json=body, timeout=timeout) as response:
            if response.status == 204:
                return Pulled(status=204, empty=response.headers.get("Fanout-Empty", ""))
            answer = await response.json(content_type=None)
        assert response.status in (200, 429, 503), answer
        settled = answer.get("settled")
        return Pulled(
            status=response.status,
            messages=[Delivery.of(wire) for wire in answer.get("messages", [])],
            batch=answer.get("batch") or "",
            empty=answer.get("empty", ""),
            settled=Settled.of(200, settled) if settled is not None else None,
        )

    async def take(self, count: int, *, at: Worker | None = None, **fields: Any) -> list[Delivery]:
        """Pull until so many messages are there, and answer them in the order of their offsets.

        Raises:
            AssertionError: a pull that waited for the next one came back with nothing.
        """
        taken: list[Delivery] = []
        while len(taken) < count:
            pulled = await self.pull(at=at, max_messages=min(count - len(taken), _MOST), wait_ms=8000, **fields)
            assert pulled.messages, f"{count} messages were due, only these came: {taken}"
            taken += pulled.messages
        return sorted(taken, key=lambda message: (message.offset, message.partition))

    async def settle(self, *, at: Worker | None = None, **fields: Any) -> Settled:
        """Fields as `docs/api.md` has them."""
        timeout = aiohttp.ClientTimeout(total=5 + _GRACE)
        url = f"{(at or self._worker).url}/v1/settle"
        async with self._session.post(url, json=fields, timeout=timeout) as response:
            answer = await response.json(content_type=None)
        if response.status == 503:
            # No entry could be tried: the same as "retry" for each of them.
            named = [
                entry if isinstance(entry, str) else entry["lease"] for verb in _VERBS for entry in fields.get(verb, [])
            ]
            return Settled(status=503, results=dict.fromkeys(named, "retry"))
        assert response.status == 200, answer
        return Settled.of(200, answer)

    async def ack(self, *leases: str, at: Worker | None = None, durable: bool = True) -> Settled:
        return await self.settle(at=at, ack=list(leases), durable=durable)

    async def nack(self, lease: str, *, at: Worker | None = None, **fields: Any) -> Settled:
        return await self.settle(at=at, nack=[{"lease": lease, **fields}])

    async def extend(self, lease: str, *, ack_wait_ms: int, at: Worker | None = None) -> Settled:
        return await self.settle(at=at, extend=[{"lease": lease, "ack_wait_ms": ack_wait_ms}])

    async def lease(self, lease: str, *, at: Worker | None = None) -> dict[str, Any]:
        """What a worker says of a lease."""
        async with self._session.get(f"{(at or self._worker).url}/v1/leases/{lease}") as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            assert response.status == 200, answer
            return answer


MakeClient = Callable[[Worker, str], Client]


class Hangup:
    """A client on a bare socket: leaves, sends and reads in every way that a library would not allow."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connected(cls, worker: Worker, *, receive_buffer: int | None = None) -> Self:
        """Connect and say nothing. With a small ``receive_buffer`` (bytes) what is not read backs up to the worker."""
        host, port = worker.url.removeprefix("http://").split(":")
        end = socket.socket()
        end.setblocking(False)
        if receive_buffer is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(end, (host, int(port)))
        return cls(*await asyncio.open_connection(sock=end, limit=receive_buffer or 1 << 16))

    @classmethod
    async def pulling(cls, worker: Worker, name: str, *, receive_buffer: int | None = None, **fields: int) -> Self:
        """Connect and send a pull; the answer is not read."""
        one = await cls.connected(worker, receive_buffer=receive_buffer)
        await one.pull(name, **fields)
        return one

    async def pull(self, name: str, *, wait_ms: int = 50_000, ack_wait_ms: int = 30_000, **fields: int) -> None:
        """Send a pull, with further fields as `docs/api.md` has them."""
        wire = {"client": name, "wait_ms": wait_ms, "ack_wait_ms": ack_wait_ms, **fields}
        body = json.dumps(wire).encode()
        await self.send(
            b"POST /v1/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    async def send(self, sent: bytes) -> None:
        """Raises ConnectionError if the other end has hung up."""
        self._writer.write(sent)
        await self._writer.drain()

    async def read(self, most: int) -> bytes:
        """What is there, or comes next; nothing if the other end has hung up."""
        return await self._reader.read(most)

    async def answer(self, deadline: float = _GRACE) -> tuple[int, bytes]:
        """Read one whole answer: its status and its body."""
        async with asyncio.timeout(deadline):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = await self._reader.readexactly(int(lines.get("content-length", "0")))
        return int(head.split(" ", 2)[1]), body

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Go without a word of goodbye: what a crashed machine's kernel answers when it is back."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close_half(self) -> None:
        """Say that nothing more will be sent, and go on reading."""
        self._writer.write_eof()

    async def gone(self) -> None:
        """Free what this end still holds."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
