"""What operators did to topic and group: which log a partition had when, and in which eras it was worked off. Pure.

A topic that is made anew has other messages at the same offsets. A group that is set back gets messages again that were
settled, and one that is set forward skips some: either way what happened before says little of what may happen after.
Workers are stopped meanwhile, so whatever a client saw was certainly before or after.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from support.histories.events import Remade, Rewound, Trimmed


class Place(NamedTuple):
    """Where a message is, in one era of its partition; eras are counted from 0, over all logs."""

    partition: int
    offset: int
    era: int = 0

    def __str__(self) -> str:
        return f"p{self.partition}/{self.offset}" + (f" of era {self.era}" if self.era else "")


@dataclass(frozen=True, slots=True)
class Era:
    """It began between these moments."""

    since: float
    begun: float
    #: Which log of the topic's name, counted from 0.
    log: int
    #: What lies below counts as settled.
    floor: int
    #: What was settled before is forgotten, for certain, and tokens of before are gone.
    anew: bool


_FIRST = Era(since=0.0, begun=0.0, log=0, floor=0, anew=True)


class Eras:
    """Those of all partitions."""

    def __init__(self) -> None:
        #: The log that the topic has now.
        self.log = 0
        #: What every partition has gone through, also one that is not known yet.
        self._of_all = [_FIRST]
        self._by_partition: dict[int, list[Era]] = {}
        #: Log and partition -> when what lies below an offset was deleted, at the earliest.
        self._trimmed: dict[tuple[int, int], list[tuple[float, int]]] = defaultdict(list)

    # Events ----------------------------------------------------------------------------------------------------------

    def remade(self, event: Remade) -> None:
        self.log += 1
        era = Era(event.sent, event.at, self.log, 0, anew=True)
        for eras in (self._of_all, *self._by_partition.values()):
            eras.append(era)

    def rewound(self, event: Rewound, committed: Mapping[int, int]) -> None:
        """``committed``: where the group stood before."""
        for partition, offset in event.offsets.items():
            anew = offset < committed.get(partition, 0)
            self._by_partition.setdefault(partition, self._of_all.copy()).append(
                Era(event.sent, event.at, self.log, offset, anew)
            )

    def trimmed(self, event: Trimmed) -> None:
        for partition, offset in event.below.items():
            self._trimmed[self.log, partition].append((event.sent, offset))

    # Questions -------------------------------------------------------------------------------------------------------

    def of(self, partition: int) -> list[Era]:
        return self._by_partition.get(partition, self._of_all)

    def at(self, partition: int, moment: float) -> int:
        """The era that had begun by then."""
        return max(0, bisect_right(self.of(partition), moment, key=lambda era: era.since) - 1)

    def certain(self, partition: int, since: float, until: float) -> int | None:
        """The era of all this time; none: there may have been two."""
        number = self.at(partition, until)
        return number if self.of(partition)[number].begun <= since else None

    def in_log(self, partition: int, log: int, moment: float) -> int:
        """The same, but one of this log."""
        eras = self.of(partition)
        inside = [number for number, era in enumerate(eras) if era.log == log]
        return max((number for number in inside if eras[number].since <= moment), default=inside[0])

    def places(self, partition: int, offset: int, log: int) -> list[Place]:
        """One for each era of this log."""
        return [Place(partition, offset, number) for number, era in enumerate(self.of(partition)) if era.log == log]

    def before(self, place: Place) -> list[Place]:
        """This place and those of earlier eras of which something may be remembered in this one."""
        eras = self.of(place.partition)
        number = place.era
        places = [place]
        while not eras[number].anew:
            number -= 1
            places.append(place._replace(era=number))
        return places

    def log_of(self, place: Place) -> int:
        return self.of(place.partition)[place.era].log

    def gone_at(self, place: Place) -> float:
        """From when on the message need not come any more: deleted, skipped, or of a log that is no more."""
        log = self.log_of(place)
        eras = self.of(place.partition)
        skipped = (eras[one.era].since for one in self.before(place) if eras[one.era].floor > place.offset)
        ended = (era.since for era in eras if era.log > log)
        deleted = (sent for sent, below in self._trimmed.get((log, place.partition), ()) if below > place.offset)
        return min((*skipped, *ended, *deleted), default=inf)

    def log_ended(self, log: int) -> float:
        """When the topic certainly was made anew after this log."""
        return next((era.begun for era in self._of_all if era.log > log), inf)

    def token_ended(self, place: Place) -> tuple[float, float]:
        """Between when tokens of this era may have become those of an older one, and certainly have."""
        later = self.of(place.partition)[place.era + 1 :]
        return (
            min((era.since for era in later), default=inf),
            min((era.begun for era in later if era.anew), default=inf),
        )
