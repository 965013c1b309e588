"""The verdict over one history as people read it: its faults with the lines that prove them, and what was counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.histories.duplicates import duplicates
from support.histories.events import AnyEvent, Began, read
from support.histories.judge import Fault, judge_views, views
from support.histories.view import History

#: More of one rule's faults say nothing new.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    path: Path
    seed: int
    seconds: float
    faults: list[Fault]
    counts: Counter[str]
    duplicates: Counter[str]

    def text(self) -> str:
        counted = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        causes = ", ".join(f"{cause} {count}" for cause, count in self.duplicates.most_common()) or "none"
        head = f"seed {self.seed}: {counted}; duplicates: {causes}; {self.seconds:.1f} s; {self.path}"
        return "\n".join([head, *self._shown()])

    def _shown(self) -> list[str]:
        lines = []
        of_rule: Counter[str] = Counter()
        for fault in self.faults:
            of_rule[fault.rule] += 1
            if of_rule[fault.rule] <= _SHOWN:
                lines.append(f"  FAULT ({fault.rule}) {fault.says}: lines {', '.join(map(str, fault.lines))}")
        lines += [f"  and {count - _SHOWN} more of: {rule}" for rule, count in of_rule.items() if count > _SHOWN]
        return lines


#: Runs a plan and judges what came of it; ``drained_within``: seconds to drain at most.
RunPlan = Callable[..., Awaitable[Verdict]]


def judged(path: Path) -> Verdict:
    """Read a history and judge it.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError: it is not a history.
    """
    return verdict(path, read(path))


def verdict(path: Path, events: Sequence[AnyEvent]) -> Verdict:
    """On the events that were read from there."""
    history = History(events)
    seed = next((event.plan.get("seed", 0) for event in events if isinstance(event, Began)), 0)
    counts = Counter(
        {
            "produced": sum(1 for _ in history.produced()),
            "deliveries": sum(map(len, history.deliveries.values())),
            "settled": sum(any(one.has_settled for one in tries) for tries in history.tries.values()),
            "troubles": len(history.troubles),
            **({"removed by compaction": history.removed} if history.compacted else {}),
        }
    )
    parts = views(events)
    again = sum(map(duplicates, parts), Counter[str]())
    return Verdict(path, seed, events[-1].at, judge_views(parts), counts, again)
