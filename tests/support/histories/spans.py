"""In which stretches of time nobody took a partition from anybody: what samples of all workers agree on. Pure.

A worker can only take a partition over in a higher generation of the group, and whoever has it knows that generation.
So a generation certainly lasts from when the last of the workers that are there is found in it until one of them may
have been in another one, or another worker may have been there. One that slept and wakes up believes what it will.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from support.histories.events import Gone, Launched, Owned, Sampled

#: Seconds between two answers of a worker that was asked all along, and was not held up meanwhile.
_SOON = 1.0
#: What a worker says that cannot know whether its partitions are still its own.
_OUT_OF_TOUCH = "no recent answer from the group's coordinator"


@dataclass(slots=True)
class Span:
    """All workers that were there were in this generation."""

    workers: frozenset[int]
    #: Of the group; where that was deleted and made anew, how often, and its generation.
    generation: tuple[int, int]
    since: float
    until: float


class Spans:
    def __init__(self) -> None:
        self.all: list[Span] = []
        #: Generation -> worker -> its partitions, and the line that says so.
        self.assigned: dict[tuple[int, int], dict[int, tuple[list[int], int]]] = defaultdict(dict)
        self._there: frozenset[int] = frozenset()
        self._launches = False
        self._group = 0
        self._highest = 0
        self._open: Span | None = None
        #: Worker -> since when it was found in which generation, and when it was last asked.
        self._found: dict[int, tuple[int, float, float]] = {}
        self._samples: dict[int, list[Sampled]] = defaultdict(list)
        self._crowds: list[tuple[float, int]] = []

    # Events ----------------------------------------------------------------------------------------------------------

    def launched(self, event: Launched) -> None:
        self._launches = True
        self._change(event.at, self._there | {event.worker})

    def gone(self, event: Gone) -> None:
        self._change(event.at, self._there - {event.worker})

    def group_deleted(self) -> None:
        """With the topic, while no worker was there; generations are counted anew."""
        self._group += 1
        self._highest = 0

    def _change(self, at: float, there: frozenset[int]) -> None:
        if self._open:
            self._open.until = min(self._open.until, at)
        self._open, self._there = None, there
        self._found = {}
        self._crowds.append((at, len(there)))

    def sampled(self, event: Sampled) -> None:
        worker = event.worker
        self._samples[worker].append(event)
        if worker not in self._there:
            if self._launches:
                return  # it has gone since
            # A history of one worker need not say when it is started.
            self._change(event.sent, frozenset({worker}))
        generation, since, _ = self._found.get(worker, (-1, 0.0, 0.0))
        if generation != event.generation:
            since = event.at
        self._found[worker] = event.generation, since, event.sent
        self._highest = max(self._highest, event.generation)
        if self._open and event.generation != self._open.generation[1]:
            self._open = None
        if self._open is None and self._agree():
            since = max(since for _, since, _ in self._found.values())
            self._open = Span(self._there, (self._group, event.generation), since, since)
            self.all.append(self._open)
        if self._open:
            self._open.until = max(self._open.until, min(sent for _, _, sent in self._found.values()))

    def _agree(self) -> bool:
        """Whether all that are there were last found in the highest generation of all times."""
        generations = {generation for generation, _, _ in self._found.values()}
        return self._found.keys() == self._there and generations == {self._highest}

    def owned(self, event: Owned, line: int) -> None:
        self.assigned[self._group, event.generation][event.worker] = event.partitions, line

    # Questions -------------------------------------------------------------------------------------------------------

    def at(self, moment: float) -> Span | None:
        """The span that this moment certainly lies in."""
        index = bisect_right(self.all, moment, key=lambda span: span.since) - 1
        if index < 0 or moment > self.all[index].until:
            return None
        return self.all[index]

    def last_began(self, before: float) -> float:
        """When the latest one before this moment began."""
        index = bisect_right(self.all, before, key=lambda span: span.since) - 1
        return self.all[index].since if index >= 0 else 0.0

    def may_have_moved(self, since: float, until: float) -> bool:
        """Whether partitions may have changed hands between two moments, for all that is known of before and after."""
        first = bisect_right(self.all, since, key=lambda span: span.since) - 1
        last = bisect_left(self.all, until, key=lambda span: span.until)
        if first < 0 or last >= len(self.all):
            return True
        before, after = self.all[first], self.all[last]
        return (before.generation, before.workers) != (after.generation, after.workers)

    def owner(self, moment: float, partition: int) -> int | None:
        """Which worker certainly has this partition at this moment; none: nobody knows."""
        span = self.at(moment)
        if span is None:
            return None
        owners = self.assigned.get(span.generation, {}).items()
        return next((worker for worker, (partitions, _) in owners if partition in partitions), None)

    def is_alone(self, since: float, until: float) -> bool:
        """Whether there is never more than one worker in this time."""
        first = bisect_right(self._crowds, since, key=lambda crowd: crowd[0]) - 1
        return all(count <= 1 for at, count in self._crowds[max(0, first) :] if at <= until)

    def steady(self, since: float, until: float) -> bool:
        """Whether all who were asked answered soon each time, and were in touch with the group: none was held up."""
        for samples in self._samples.values():
            within = [sample for sample in samples if since <= sample.at and sample.sent <= until]
            if any(_OUT_OF_TOUCH in sample.degraded for sample in within):
                return False
            if any(later.at - earlier.at >= _SOON for earlier, later in pairwise(within)):
                return False
        return True

    def healthy(self, since: float, until: float) -> bool:
        """Whether all workers were asked all along, in one generation, and said that nothing was wrong with them."""
        span = self.at(since)
        return (
            span is not None
            and all(at <= since or at >= until for at, _ in self._crowds)
            and all(self._is_healthy(worker, span.generation[1], since, until) for worker in span.workers)
        )

    def _is_healthy(self, worker: int, generation: int, since: float, until: float) -> bool:
        samples = self._samples[worker]
        first = bisect_right(samples, since, key=lambda sample: sample.at)
        last = bisect_right(samples, until, key=lambda sample: sample.sent)
        within = [sample for sample in samples[max(0, first - 1) : last] if sample.at >= since]
        moments = [since, *(sample.at for sample in within), until]
        return all(sample.generation == generation and not sample.degraded for sample in within) and all(
            later - earlier < _SOON for earlier, later in pairwise(moments)
        )
