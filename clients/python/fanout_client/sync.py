"""The client for threads, over httpx: what `fanout_client.Client` is for asyncio."""

from __future__ import annotations

import logging
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

import httpx

from fanout_client import wire
from fanout_client.addresses import Addresses
from fanout_client.backoff import Backoff
from fanout_client.calls import Call
from fanout_client.errors import GivenUpError
from fanout_client.held import Held
from fanout_client.loop import Loop
from fanout_client.message import Message
from fanout_client.options import Options
from fanout_client.outcome import Batch, acked, extended, nacked, rejected
from fanout_client.sync_consumer import Consumer
from fanout_client.sync_keeping import Keeping
from fanout_client.unsettled import Unsettled

logger = logging.getLogger("fanout_client")

_CONNECT: Final = 5.0
#: Seconds that what is settled at the end has to be answered in, and a goodbye.
_LAST_WORDS: Final = 5.0
_LEAVE: Final = 2.0


def _never() -> bool:
    return False


class Client:
    """Takes messages from a cluster of fanout workers and settles them. Use it as a context manager.

        with Client("http://127.0.0.1:6066") as client:
            for message in client:
                work(message)

    A message is acked when the next one is asked for, and given back to others where the block is left in the middle
    of one; a thread extends its lease meanwhile. It may be used by several threads, each with a loop of its own.
    """

    def __init__(self, *addresses: str, verify: ssl.SSLContext | bool = True, **options: Any) -> None:
        """``addresses`` are workers, as ``http://HOST:PORT``, any or all of them; for the options see `Options`."""
        self.options = Options(**options)
        self._addresses = Addresses(addresses)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx.Client(headers=self.options.headers, verify=verify, limits=limits, follow_redirects=False)
        self._keeping = Keeping(Held(self.options.ack_wait), self._extend)
        self._loops: list[Loop] = []

    def __enter__(self) -> Self:
        self._keeping.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            until = monotonic() + _LAST_WORDS
            for loop in self._loops:
                loop.leave(error)
                self.settle(loop.unsettled, given_up=lambda: monotonic() > until)
        except GivenUpError:
            logger.warning("the cluster does not answer: the last messages may be delivered again")
        finally:
            self._keeping.stop()
            self._leave()
            self._http.close()

    def _leave(self) -> None:
        if self.options.is_alone:
            try:
                self._http.delete(self._addresses.current(monotonic()) + self.options.path, timeout=_LEAVE)
            except httpx.HTTPError as error:
                logger.debug("could not leave: %r", error)

    # One by one ------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Message]:
        """Messages without end, one at a time; each thread has a loop of its own."""
        loop = Loop(self.over)
        self._loops.append(loop)
        return _Messages(loop, lambda unsettled: self.take(1, unsettled))

    def work(
        self, handler: Callable[[Message], object], *, concurrency: int = 1, drain: float = 30.0, signals: bool = True
    ) -> None:
        """Have messages handled, by ``concurrency`` threads, until SIGTERM or SIGINT, then drain.

        What a handler returns from is acked; what it raises at is nacked with the error as its reason (see `Nack` and
        `Reject`). It stops within 5 s, or when the handlers have ended, for which they have ``drain`` seconds more.
        """
        consumer = Consumer(self, lambda batch: handler(batch[0]), size=1, concurrency=concurrency, drain=drain)
        consumer.run(signals=signals)

    def work_batches(
        self,
        handler: Callable[[Batch], object],
        *,
        size: int = 100,
        concurrency: int = 1,
        drain: float = 30.0,
        signals: bool = True,
    ) -> None:
        """The same with up to ``size`` messages at once, 1 to 1000; see `Batch` for those that fail by themselves."""
        Consumer(self, handler, size=size, concurrency=concurrency, drain=drain).run(signals=signals)

    # By hand ---------------------------------------------------------------------------------------------------------

    def pull(self, messages: int = 1, *, wait: float | None = None) -> Batch:
        """Up to ``messages``, or none if none came within ``wait`` seconds. Their leases are not extended by itself."""
        return self.take(messages, Unsettled(), wait=wait, keep=False)

    def ack(self, *messages: Message) -> None:
        """They are done. Returns when that is durable, or with ``durable=False`` when a worker knows of it."""
        self._settle_these(acked(messages))

    def nack(self, *messages: Message, reason: str = "", delay: float | None = None) -> None:
        """They are for other clients, after ``delay`` seconds (None: the cluster's backoff)."""
        self._settle_these(nacked(messages, reason, delay))

    def reject(self, *messages: Message, reason: str = "") -> None:
        """Nobody shall get them again: they go to the dead-letter topic, or are parked."""
        self._settle_these(rejected(messages, reason))

    def extend(self, *messages: Message, ack_wait: float | None = None) -> None:
        """Their leases last for ``ack_wait`` seconds from now on (None: as long as this client's do)."""
        leases = [message.lease for message in messages]
        self._settle_these(extended(leases, self.options.ack_wait if ack_wait is None else ack_wait))

    def _settle_these(self, settle: wire.Settle) -> None:
        unsettled = Unsettled()
        unsettled.add(settle)
        for loop in self._loops:
            loop.said(settle)
        self.settle(unsettled)

    # For what takes messages ------------------------------------------------------------------------------------------

    def take(
        self,
        messages: int,
        unsettled: Unsettled,
        *,
        wait: float | None = None,
        keep: bool = True,
        given_up: Callable[[], bool] = _never,
    ) -> Batch:
        """Settle what goes into one request, and wait for messages; ``keep`` has their leases extended.

        Raises:
            GivenUpError: see `_call`.
        """
        settle = unsettled.to_send()
        wait = self.options.wait_with(settle, len(unsettled) - len(settle), wait)
        requests = self.options.pulls(messages=messages, wait=wait, settle=settle, receive_id=uuid.uuid4().hex)
        done = self._call(requests, given_up)
        pulled = wire.pulled(done.status, done.body)
        if pulled.settled is not None:
            unsettled.answered(settle, pulled.settled)
        if keep:
            self._keeping.take(message.lease for message in pulled.messages)
        return Batch(pulled.batch, pulled.messages)

    def settle(self, unsettled: Unsettled, *, given_up: Callable[[], bool] = _never) -> None:
        """Until it is known what became of all of it.

        Raises:
            GivenUpError: see `_call`.
        """
        backoff = Backoff()
        while settle := unsettled.to_send():
            left = len(unsettled)
            done = self._call(lambda attempts: wire.settle(self.options.settle(settle)), given_up)
            unsettled.answered(settle, wire.settled(done.status, done.body))
            if len(unsettled) == left:
                if given_up():
                    raise GivenUpError
                time.sleep(backoff.next())

    def over(self, batch: Batch) -> None:
        """Its handler has ended: nobody extends its leases any more."""
        self._keeping.end(message.lease for message in batch)

    def _extend(self, leases: list[str]) -> wire.Settled:
        extend = extended(leases, self.options.ack_wait)
        until = monotonic() + self.options.ack_wait
        done = self._call(lambda attempts: wire.settle(extend), lambda: monotonic() > until)
        return wire.settled(done.status, done.body)

    def _call(self, make: Callable[[int], wire.Request], given_up: Callable[[], bool]) -> wire.Done:
        """Raises GivenUpError where there is no answer, and it is ``given_up``: asked after each attempt."""
        call = Call(self._addresses, make, has_token=self.options.token is not None)
        while True:
            url, request = call.next(monotonic())
            try:
                response = self._http.request(
                    request.method, url, content=request.body, headers=request.headers,
                    timeout=httpx.Timeout(request.timeout, connect=_CONNECT),
                )  # fmt: skip
            except httpx.TransportError as error:
                pause = call.failed(monotonic(), error)
            else:
                pause = call.answered(monotonic(), response.status_code, response.headers.get, response.content)
            if call.done is not None:
                return call.done
            if given_up():
                raise GivenUpError
            time.sleep(pause)


class _Messages:
    """One loop, see `Loop`."""

    def __init__(self, loop: Loop, take: Callable[[Unsettled], Batch]) -> None:
        self._loop = loop
        self._take = take

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        self._loop.end()
        while not (batch := self._take(self._loop.unsettled)):
            pass
        return self._loop.begin(batch)
