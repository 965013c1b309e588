"""What was seen while the story ran: orders written and tried, and what held of the canary."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

STABLE = "stable"
CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Tried:
    """An instance of this group has tried an order."""

    at: float
    group: str
    order: int
    failed: bool


@dataclass(frozen=True, slots=True)
class Held:
    """From this moment on the canary had this weight, of 100."""

    at: float
    weight: int
    verdict: str
    reason: str


@dataclass(slots=True)
class Record:
    """Times are seconds since the story began."""

    written: int = 0
    #: When the first order in dollars was written.
    dollars_from: float | None = None
    tried: list[Tried] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)

    @property
    def rolled_back(self) -> Held | None:
        """When the guard took the canary out."""
        return next((held for held in self.held if held.weight == 0 and held.verdict == "failing"), None)

    @property
    def booked(self) -> set[int]:
        return {tried.order for tried in self.tried if not tried.failed}

    def wrong(self) -> str:
        """What is not as fanout promises, or nothing."""
        missing = self.written - len(self.booked)
        if missing:
            return f"{missing} orders were not booked"
        if self.rolled_back is None:
            return "the canary was not rolled back"
        tries: dict[int, list[Tried]] = defaultdict(list)
        for tried in self.tried:
            tries[tried.order].append(tried)
        for number, all_tries in tries.items():
            if any(tried.failed for tried in all_tries) and all_tries[-1].group != STABLE:
                return f"order {number}, which the canary failed, was not booked by the stable release"
        return ""

    def summary(self) -> str:
        counts = Counter((tried.group, tried.failed) for tried in self.tried)
        twice = sum(times > 1 for times in Counter(one.order for one in self.tried if not one.failed).values())
        return (
            f"{self.written} orders written, {len(self.booked)} booked: {counts[STABLE, False]} by v1, "
            f"{counts[CANARY, False]} by v2; v2 failed {counts[CANARY, True]}, all of which v1 has booked; "
            f"{twice} were booked twice"
        )
