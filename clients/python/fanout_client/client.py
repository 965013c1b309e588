"""The client for asyncio, over aiohttp."""

from __future__ import annotations

import asyncio
import logging
import ssl
import uuid
from collections.abc import Awaitable, Callable
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from fanout_client import wire
from fanout_client.addresses import Addresses
from fanout_client.backoff import Backoff
from fanout_client.calls import Call
from fanout_client.consumer import Consumer
from fanout_client.held import Held
from fanout_client.keeping import Keeping
from fanout_client.loop import Loop
from fanout_client.message import Message
from fanout_client.messages import Messages
from fanout_client.options import Options
from fanout_client.outcome import Batch, acked, extended, nacked, rejected
from fanout_client.unsettled import Unsettled

logger = logging.getLogger("fanout_client")

#: Connecting to a worker that is there takes far less, in seconds.
_CONNECT: Final = 5.0
#: Seconds that what is settled at the end has to be answered in, and a goodbye.
_LAST_WORDS: Final = 5.0
_LEAVE: Final = 2.0


class Client:
    """Takes messages from a cluster of fanout workers and settles them. Use it as a context manager.

        async with Client("http://127.0.0.1:6066") as client:
            async for message in client:
                await work(message)

    A message is acked when the next one is asked for, and given back to others where the block is left in the middle
    of one; its lease is extended meanwhile. A request that is not answered is sent again, to the other addresses in
    turn, until it is, so that a cluster may be away for as long as it likes.
    """

    def __init__(self, *addresses: str, ssl: ssl.SSLContext | None = None, **options: Any) -> None:
        """``addresses`` are workers, as ``http://HOST:PORT``, any or all of them; for the options see `Options`."""
        self.options = Options(**options)
        self._addresses = Addresses(addresses)
        self._ssl = ssl
        self._session: aiohttp.ClientSession | None = None
        self._keeping = Keeping(Held(self.options.ack_wait), self._extend)
        self._loops: list[Loop] = []

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._ssl if self._ssl is not None else True)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self.options.headers, cookie_jar=aiohttp.DummyCookieJar()
        )
        self._keeping.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            async with asyncio.timeout(_LAST_WORDS):
                for loop in self._loops:
                    loop.leave(error)
                    await self.settle(loop.unsettled)
        except TimeoutError:
            logger.warning("the cluster does not answer: the last messages may be delivered again")
        finally:
            await self._keeping.stop()
            if self._session is not None:
                await self._leave(self._session)
                await self._session.close()

    async def _leave(self, session: aiohttp.ClientSession) -> None:
        """Say that nobody of this name is there any more, so that nothing is kept for it. If it fails, time tells."""
        if self.options.is_alone:
            url = self._addresses.current(monotonic()) + self.options.path
            try:
                async with session.delete(url, timeout=aiohttp.ClientTimeout(total=_LEAVE)):
                    pass
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                logger.debug("could not leave: %r", error)

    # One by one ------------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Messages:
        """Messages without end, one at a time; several loops at once have their own."""
        loop = Loop(self.over)
        self._loops.append(loop)
        return Messages(loop, lambda unsettled: self.take(1, unsettled))

    async def work(
        self,
        handler: Callable[[Message], Awaitable[object]],
        *,
        concurrency: int = 1,
        drain: float = 30.0,
        signals: bool = True,
    ) -> None:
        """Have messages handled until SIGTERM or SIGINT, then drain; where ``signals`` is false, until it is cancelled.

        What a handler returns from is acked; what it raises at is nacked with the error as its reason (see `Nack` and
        `Reject`). ``concurrency`` handlers run at once; ``drain`` is how many seconds they have to end once it stops.
        """

        async def one(batch: Batch) -> None:
            await handler(batch[0])

        await Consumer(self, one, size=1, concurrency=concurrency, drain=drain).run(signals=signals)

    async def work_batches(
        self,
        handler: Callable[[Batch], Awaitable[object]],
        *,
        size: int = 100,
        concurrency: int = 1,
        drain: float = 30.0,
        signals: bool = True,
    ) -> None:
        """The same with up to ``size`` messages at once, 1 to 1000; see `Batch` for those that fail by themselves."""
        await Consumer(self, handler, size=size, concurrency=concurrency, drain=drain).run(signals=signals)

    # By hand ---------------------------------------------------------------------------------------------------------

    async def pull(self, messages: int = 1, *, wait: float | None = None) -> Batch:
        """Up to ``messages``, or none if none came within ``wait`` seconds. Their leases are not extended by itself."""
        return await self.take(messages, Unsettled(), wait=wait, keep=False)

    async def ack(self, *messages: Message) -> None:
        """They are done. Returns when that is durable, or with ``durable=False`` when a worker knows of it."""
        await self._settle_these(acked(messages))

    async def nack(self, *messages: Message, reason: str = "", delay: float | None = None) -> None:
        """They are for other clients, after ``delay`` seconds (None: the cluster's backoff)."""
        await self._settle_these(nacked(messages, reason, delay))

    async def reject(self, *messages: Message, reason: str = "") -> None:
        """Nobody shall get them again: they go to the dead-letter topic, or are parked."""
        await self._settle_these(rejected(messages, reason))

    async def extend(self, *messages: Message, ack_wait: float | None = None) -> None:
        """Their leases last for ``ack_wait`` seconds from now on (None: as long as this client's do)."""
        leases = [message.lease for message in messages]
        await self._settle_these(extended(leases, self.options.ack_wait if ack_wait is None else ack_wait))

    async def _settle_these(self, settle: wire.Settle) -> None:
        unsettled = Unsettled()
        unsettled.add(settle)
        for loop in self._loops:
            loop.said(settle)
        await self.settle(unsettled)

    # For what takes messages ------------------------------------------------------------------------------------------

    async def take(
        self,
        messages: int,
        unsettled: Unsettled,
        *,
        wait: float | None = None,
        receive_id: str | None = None,
        repeat: bool = False,
        keep: bool = True,
    ) -> Batch:
        """Settle what goes into one request, and wait for messages; ``keep`` has their leases extended.

        ``receive_id`` names the pull: whoever repeats it gets what it was answered with, if that was lost on the way.
        """
        settle = unsettled.to_send()
        wait = self.options.wait_with(settle, len(unsettled) - len(settle), wait)
        requests = self.options.pulls(
            messages=messages, wait=wait, settle=settle, receive_id=receive_id or uuid.uuid4().hex, repeat=repeat
        )
        done = await self._call(requests)
        pulled = wire.pulled(done.status, done.body)
        if pulled.settled is not None:
            unsettled.answered(settle, pulled.settled)
        if keep:
            self._keeping.take(message.lease for message in pulled.messages)
        return Batch(pulled.batch, pulled.messages)

    async def settle(self, unsettled: Unsettled) -> None:
        """Until it is known what became of all of it."""
        backoff = Backoff()
        while settle := unsettled.to_send():
            left = len(unsettled)
            done = await self._call(lambda attempts: wire.settle(self.options.settle(settle)))
            unsettled.answered(settle, wire.settled(done.status, done.body))
            if len(unsettled) == left:
                await asyncio.sleep(backoff.next())

    def over(self, batch: Batch) -> None:
        """Its handler has ended: nobody extends its leases any more."""
        self._keeping.end(message.lease for message in batch)

    async def _extend(self, leases: list[str]) -> wire.Settled:
        extend = extended(leases, self.options.ack_wait)
        done = await self._call(lambda attempts: wire.settle(extend))
        return wire.settled(done.status, done.body)

    async def _call(self, make: Callable[[int], wire.Request]) -> wire.Done:
        if self._session is None:
            raise RuntimeError("use the client as a context manager: async with Client(...) as client")
        call = Call(self._addresses, make, has_token=self.options.token is not None)
        while True:
            url, request = call.next(monotonic())
            try:
                timeout = aiohttp.ClientTimeout(total=request.timeout, connect=_CONNECT)
                async with self._session.request(
                    request.method, url, data=request.body, headers=request.headers, timeout=timeout,
                    allow_redirects=False,
                ) as response:  # fmt: skip
                    body = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                pause = call.failed(monotonic(), error)
            else:
                pause = call.answered(monotonic(), response.status, response.headers.get, body)
            if call.done is not None:
                return call.done
            if pause:
                await asyncio.sleep(pause)
