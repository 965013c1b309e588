"""Has messages handled by many handlers at once, until it is to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from fanout_client.errors import Nack, Reject
from fanout_client.outcome import Batch, given_back
from fanout_client.plan import check
from fanout_client.unsettled import Unsettled

if TYPE_CHECKING:
    from fanout_client.client import Client

logger = logging.getLogger("fanout_client")

#: Seconds that what is settled at the end has to be answered in.
_LAST_WORDS: Final = 5.0
_STOPS: Final = "this client stops"


class Consumer:
    """Each of its slots pulls, handles what it was given, and pulls again with what became of that riding along.

    A slot waits with a request of its own, which costs a worker little; so a message is handed to whichever slot is
    free, and none lies here while its lease runs.
    """

    def __init__(
        self,
        client: Client,
        handler: Callable[[Batch], Awaitable[object]],
        *,
        size: int,
        concurrency: int,
        drain: float,
    ) -> None:
        """``size`` messages at most are given to a handler, 1 to 1000; ``concurrency`` handlers run at once.

        ``drain`` is how many seconds handlers have to end once it stops; what they had then is for others.
        """
        check(size, concurrency)
        self._client = client
        self._handler = handler
        self._size = size
        self._concurrency = concurrency
        self._drain = drain
        self._stopping = asyncio.Event()
        #: Slots that wait for messages, and can be told to wait no longer.
        self._waiting: set[asyncio.Task[None]] = set()

    async def run(self, *, signals: bool = True) -> None:
        """Until `stop` is called, or with ``signals`` the process is asked to end. All is settled then.

        Raises:
            RefusedError: the cluster refuses what it is asked.
        """
        with self._signals() if signals else nullcontext():
            slots = [asyncio.create_task(self._slot()) for _ in range(self._concurrency)]
            limit = asyncio.create_task(self._limit(slots))
            try:
                await asyncio.wait(slots, return_when=asyncio.FIRST_EXCEPTION)
                self.stop()
                await asyncio.wait(slots)
            finally:
                # All have ended, unless this one is cancelled itself.
                for task in (*slots, limit):
                    task.cancel()
                await asyncio.gather(*slots, limit, return_exceptions=True)
        for slot in slots:
            if not slot.cancelled():
                slot.result()

    def stop(self) -> None:
        """Take no more messages; those that are here are handled and settled. May be called again."""
        self._stopping.set()
        for slot in self._waiting:
            slot.cancel()

    async def _limit(self, slots: list[asyncio.Task[None]]) -> None:
        await self._stopping.wait()
        _, late = await asyncio.wait(slots, timeout=self._drain)
        for slot in late:
            slot.cancel()

    async def _slot(self) -> None:
        unsettled = Unsettled()
        try:
            while not self._stopping.is_set():
                batch = await self._take(unsettled)
                if batch:
                    await self._handle(batch, unsettled)
        finally:
            await self._settle_all(unsettled)

    async def _take(self, unsettled: Unsettled) -> Batch:
        slot = asyncio.current_task()
        assert slot is not None
        receive_id = uuid.uuid4().hex
        self._waiting.add(slot)
        try:
            return await self._client.take(self._size, unsettled, receive_id=receive_id)
        except asyncio.CancelledError:
            if not self._stopping.is_set() or slot.uncancel():
                raise
        finally:
            self._waiting.discard(slot)
        await self._give_back_what_was_lost(unsettled, receive_id)
        return Batch(None, ())

    async def _give_back_what_was_lost(self, unsettled: Unsettled, receive_id: str) -> None:
        """An answer may have been on its way when its request was given up."""
        try:
            async with asyncio.timeout(_LAST_WORDS):
                lost = await self._client.take(
                    self._size, unsettled, wait=0.0, receive_id=receive_id, repeat=True, keep=False
                )
        except TimeoutError:
            logger.warning("the cluster does not answer: what was on its way here may be delivered later")
        else:
            unsettled.add(given_back(lost, _STOPS))

    async def _handle(self, batch: Batch, unsettled: Unsettled) -> None:
        error: BaseException | None = None
        try:
            await self._handler(batch)
        except (Nack, Reject) as said:
            error = said
        except Exception as fault:
            logger.exception("a handler failed with %d messages, from offset %d of partition %d on",
                             len(batch), batch[0].offset, batch[0].partition)  # fmt: skip
            error = fault
        except asyncio.CancelledError:
            self._client.over(batch)
            unsettled.add(given_back(batch, _STOPS))
            raise
        self._client.over(batch)
        unsettled.add(batch.settle(error), batch)

    async def _settle_all(self, unsettled: Unsettled) -> None:
        """Also while this slot is being cancelled."""
        settling = asyncio.ensure_future(self._client.settle(unsettled))
        _, late = await asyncio.wait({settling}, timeout=_LAST_WORDS)
        if late:
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)
            logger.warning("%d messages could not be settled: they may be delivered again", len(unsettled))
        elif not settling.cancelled():
            settling.result()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
