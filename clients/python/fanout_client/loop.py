"""A loop over messages whose body is the handler: what becomes of the message that it is at."""

from __future__ import annotations

from collections.abc import Callable

from fanout_client.message import Message
from fanout_client.outcome import Batch, given_back
from fanout_client.unsettled import Unsettled
from fanout_client.wire import Settle


class Loop:
    """A message is acked when the next one is asked for.

    Where the loop is left in the middle of one, by ``break`` or by an exception, that one is given back when the client
    is closed: ack it before a ``break`` if it is done.
    """

    def __init__(self, over: Callable[[Batch], None]) -> None:
        """``over`` is told of each message that is not worked on any more."""
        self.unsettled = Unsettled()
        self._over = over
        self._current: Batch | None = None

    def begin(self, batch: Batch) -> Message:
        self._current = batch
        return batch[0]

    def end(self, error: Exception | None = None) -> None:
        """The next message is asked for, or the body has failed."""
        if (current := self._no_more()) is not None:
            self.unsettled.add(current.settle(error), current)

    def said(self, settle: Settle) -> None:
        """This is settled by hand; it may be about the message that the loop is at."""
        current = self._current
        if current is not None and not settle.extend and current[0].lease in settle.leases():
            self._no_more()

    def leave(self, error: BaseException | None) -> None:
        """The client is closed, because of an ``error`` where there is one: that is the reason then."""
        if isinstance(error, Exception):
            self.end(error)
        elif (current := self._no_more()) is not None:
            self.unsettled.add(given_back(current, "its loop was left"))

    def _no_more(self) -> Batch | None:
        current, self._current = self._current, None
        if current is not None:
            self._over(current)
        return current
