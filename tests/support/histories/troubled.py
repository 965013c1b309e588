"""What was done to workers and servers when, and what that may have kept from happening. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from support.histories.events import Struck
from support.histories.records import Trouble


class Troubled:
    """The troubles of a history."""

    def __init__(self) -> None:
        self.troubles: list[Trouble] = []

    def struck(self, event: Struck, line: int) -> None:
        if not event.over:
            self.troubles.append(Trouble(event.at, line, event.trouble, worker=event.worker, strike=event.strike))
            return
        began = next(trouble for trouble in reversed(self.troubles) if trouble.strike == event.strike)
        began.ended = event.at

    def troubled(self, since: float, until: float) -> bool:
        return any(trouble.harms for trouble in self.between(since, until))

    def deafened(self, since: float, until: float) -> bool:
        """Whether a worker may have been kept from hearing what stands on the board."""
        return any(trouble.deafens for trouble in self.between(since, until))

    def shaken(self, since: float, until: float) -> bool:
        """Whether something came upon workers or brokers that left them no time to write down what they knew."""
        return any(not trouble.in_good_order for trouble in self.between(since, until))

    def paused(self, since: float, until: float, worker: int) -> float:
        """For how much of this time, at most, this worker's answers may not have come: it was stopped or cut off."""
        return sum(
            max(0.0, min(until, trouble.felt_until) - max(since, trouble.began))
            for trouble in self.troubles
            if trouble.silences and trouble.worker in (0, worker)
        )

    def between(self, since: float, until: float) -> Iterable[Trouble]:
        """Those that may have been felt then."""
        return (trouble for trouble in self.troubles if trouble.began <= until and trouble.felt_until >= since)
