"""Whether workers keep what they take: their memory after warm-up and at the end. Pure.

In its first minute of load a worker comes by what it keeps for good: code that is first run then, connections to all
servers and workers, buffers as large as the traffic needs, the client library's view of the cluster. What it gains
after that it gains for ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from msgspec import Struct

from support.histories.events import AnyEvent, Began, Weighed

#: Seconds after the start of a worker.
WARM_UP = 60.0
#: One moment may be that of a large answer; the middle of so many seconds is not.
_WINDOW = 30.0
#: So long a life has two windows that have nothing to do with each other.
_LONG_ENOUGH = WARM_UP + 2 * _WINDOW
#: Seconds from which on any worker is judged, and not only the one that is there all the time.
_ANY_JUDGED = 300.0
#: At the end, against after warm-up.
GROWS_AT_MOST = 1.2


class Memory(Struct, frozen=True, kw_only=True):
    worker: int
    #: Seconds in which it was weighed.
    lived: float
    warm_kib: int
    end_kib: int
    #: Whether it lived for long enough that growth would tell.
    judged: bool

    @property
    def ratio(self) -> float:
        return self.end_kib / self.warm_kib

    @property
    def grew(self) -> bool:
        return self.judged and self.ratio > GROWS_AT_MOST


def memory(events: Iterable[AnyEvent]) -> list[Memory]:
    """Of each worker that outlived its warm-up."""
    weights: dict[int, list[Weighed]] = defaultdict(list)
    spared = 0
    for event in events:
        match event:
            case Began():
                spared = 1 if event.plan.get("spares_first") else 0
            case Weighed():
                weights[event.worker].append(event)
    return [
        _memory(worker, rows, judged_from=_LONG_ENOUGH if worker == spared else _ANY_JUDGED)
        for worker, rows in sorted(weights.items())
        if rows[-1].at - rows[0].at >= _LONG_ENOUGH
    ]


def _memory(worker: int, rows: list[Weighed], judged_from: float) -> Memory:
    born, last = rows[0].at, rows[-1].at
    return Memory(
        worker=worker,
        lived=round(last - born, 1),
        warm_kib=_middle(rows, born + WARM_UP, born + WARM_UP + _WINDOW),
        end_kib=_middle(rows, last - _WINDOW, last),
        judged=last - born >= judged_from,
    )


def _middle(rows: list[Weighed], since: float, until: float) -> int:
    """Where nobody looked in between, the nearest that is known."""
    within = [row.rss_kib for row in rows if since <= row.at <= until]
    return int(median(within)) if within else min(rows, key=lambda row: abs(row.at - since)).rss_kib
