"""Has messages handled by several threads, until it is to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from fanout_client.errors import GivenUpError, Nack, Reject
from fanout_client.outcome import Batch
from fanout_client.plan import check
from fanout_client.unsettled import Unsettled

if TYPE_CHECKING:
    from fanout_client.sync import Client

logger = logging.getLogger("fanout_client")

#: Seconds of a pull: a thread that waits for one cannot be told to wait no longer.
_WAIT: Final = 5.0
#: Seconds that what is settled at the end has to be answered in.
_LAST_WORDS: Final = 5.0
#: Seconds between two looks whether all goes well, in which signals are heard.
_LOOK: Final = 0.2


class Consumer:
    """Each of its threads pulls, handles what it was given, and pulls again with what became of that riding along."""

    def __init__(
        self,
        client: Client,
        handler: Callable[[Batch], object],
        *,
        size: int,
        concurrency: int,
        drain: float,
    ) -> None:
        """As `fanout_client.Consumer`."""
        check(size, concurrency)
        self._client = client
        self._handler = handler
        self._size = size
        self._concurrency = concurrency
        self._drain = drain
        self._stopping = threading.Event()
        self._failed: list[BaseException] = []

    def run(self, *, signals: bool = True) -> None:
        """Until `stop` is called, or with ``signals`` the process is asked to end. All is settled then.

        Raises:
            RefusedError: the cluster refuses what it is asked.
        """
        # A handler that never ends does not keep the process from ending.
        slots = [
            threading.Thread(target=self._slot, name=f"fanout-handler-{number}", daemon=True)
            for number in range(self._concurrency)
        ]
        with self._signals() if signals else nullcontext():
            for slot in slots:
                slot.start()
            while not self._stopping.wait(_LOOK):
                pass
            until = monotonic() + _WAIT + self._drain
            for slot in slots:
                slot.join(max(0.0, until - monotonic()))
        if late := sum(slot.is_alive() for slot in slots):
            logger.warning("%d handlers have not ended in time: others have their messages when the leases end", late)
        if self._failed:
            raise self._failed[0]

    def stop(self) -> None:
        """Take no more messages; those that are here are handled and settled. May be called again."""
        self._stopping.set()

    def _slot(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._failed.append(error)
            self.stop()

    def _work(self) -> None:
        unsettled = Unsettled()
        try:
            while not self._stopping.is_set():
                batch = self._client.take(self._size, unsettled, wait=_WAIT, given_up=self._stopping.is_set)
                if batch:
                    self._handle(batch, unsettled)
            until = monotonic() + _LAST_WORDS
            self._client.settle(unsettled, given_up=lambda: monotonic() > until)
        except GivenUpError:
            logger.warning("the cluster does not answer: %d messages may be delivered again", len(unsettled))

    def _handle(self, batch: Batch, unsettled: Unsettled) -> None:
        error: Exception | None = None
        try:
            self._handler(batch)
        except (Nack, Reject) as said:
            error = said
        except Exception as fault:
            logger.exception("a handler failed with %d messages, from offset %d of partition %d on",
                             len(batch), batch[0].offset, batch[0].partition)  # fmt: skip
            error = fault
        self._client.over(batch)
        unsettled.add(batch.settle(error), batch)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: Any) -> None:
            self.stop()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
