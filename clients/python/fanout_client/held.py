"""The leases that a client holds, and when each has to be extended. It is told the time, in seconds of a monotonic
clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fanout_client.wire import RETRY, Settled

#: So much of a lease may pass before it is extended: a third is left for requests that are lost.
EXTEND_AT: Final = 2 / 3
#: Seconds that an extension may come early, so that leases of one moment are extended by one request.
_TOGETHER: Final = 0.2
_RETRY_AFTER: Final = 0.5


class Held:
    """A message is nobody else's until its handler ends: its lease is extended when two thirds of it have passed."""

    def __init__(self, ack_wait: float) -> None:
        """``ack_wait`` is how long a lease lasts, in seconds."""
        self._after = ack_wait * EXTEND_AT
        #: Lease -> when to extend it, in this order nearly always, since all last equally long.
        self._due: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def take(self, leases: Iterable[str], now: float) -> None:
        """These have just been given."""
        self._due.update(dict.fromkeys(leases, now + self._after))

    def end(self, leases: Iterable[str]) -> None:
        """These are settled, or lost."""
        for lease in leases:
            self._due.pop(lease, None)

    def next(self) -> float | None:
        """When the first of them is due."""
        return min(self._due.values(), default=None)

    def due(self, now: float) -> list[str]:
        """Those to extend now; they are due again two thirds of a lease later."""
        soon = now + min(_TOGETHER, self._after / 4)
        found = [lease for lease, at in self._due.items() if at <= soon]
        self._due.update(dict.fromkeys(found, now + self._after))
        return found

    def answered(self, settled: Settled, now: float) -> None:
        """What became of extensions: a lease that is lost is extended no more."""
        for result in settled.results:
            if result.status != RETRY:
                self._due.pop(result.lease, None)
            elif result.lease in self._due:
                self._due[result.lease] = now + _RETRY_AFTER
