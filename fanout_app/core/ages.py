"""How old messages were when they were handed out for the first time, counted by bounds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from fanout_app.core.lease import LeaseRun


class Ages:
    """Of all messages of one worker. Those of a run count as its first one, which is the oldest: one look a run."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` are seconds, ascending; an age belongs to the first that is not below it."""
        self._bounds = [1000.0 * bound for bound in bounds]
        #: How many messages belong to each; the last is for those that are above all.
        self.counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    @property
    def seconds(self) -> float:
        """The sum of all ages."""
        return self._sum / 1000

    def handed_out(self, runs: Sequence[LeaseRun], unix_ms: float) -> None:
        """At this time by the wall clock. Redeliveries do not count, nor messages without a timestamp."""
        for run in runs:
            if run.delivery_count == 1:
                messages = run.messages
                timestamp = messages[0].timestamp
                if timestamp >= 0:
                    age = unix_ms - timestamp
                    if age < 0:  # the producer's clock is ahead of ours
                        age = 0.0
                    count = len(messages)
                    self.counts[bisect_left(self._bounds, age)] += count
                    self._sum += age * count
