"""What a long history under faults has shown, for people and as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from support.histories import stall_table
from support.histories.events import AnyEvent, Struck
from support.histories.memory import GROWS_AT_MOST, Memory, memory
from support.histories.stalls import longest_in_calm, stalls
from support.histories.verdict import Verdict, verdict


class Summary(Struct, frozen=True, kw_only=True):
    seed: int
    minutes: float
    #: How long it took, its drain included.
    seconds: float
    produced: int
    delivered: int
    settled: int
    strikes: dict[str, int]
    lost: int
    #: By the rules of the judge.
    faults: dict[str, int]
    #: By cause.
    duplicates: dict[str, int]
    longest_stall: float
    #: The longest with no strike near: what there is anyhow.
    stall_in_calm: float
    stalls: list[stall_table.Row]
    memory: list[Memory]
    #: What does not hold; none: it passed.
    failures: list[str]

    def text(self) -> str:
        strikes = ", ".join(f"{kind} {count}" for kind, count in self.strikes.items())
        causes = ", ".join(f"{cause} {count}" for cause, count in self.duplicates.items()) or "none"
        return "\n".join(
            [
                f"seed {self.seed}, {self.minutes:g} minutes asked for, {self.seconds:.0f} s",
                f"messages: {self.produced} produced, {self.delivered} deliveries, {self.settled} settled, "
                f"{self.lost} lost",
                f"strikes: {sum(self.strikes.values())} of {len(self.strikes)} kinds: {strikes}",
                f"duplicates: {causes}",
                f"longest stall: {self.longest_stall:.2f} s; with no strike near: {self.stall_in_calm:.2f} s",
                stall_table.text(self.stalls),
                *map(_weight, self.memory),
                *(f"FAILED: {failure}" for failure in self.failures),
                "failed" if self.failures else "passed",
            ]
        )

    def json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def _weight(memory: Memory) -> str:
    judged = f", at most {GROWS_AT_MOST:g} allowed" if memory.judged else ""
    return (
        f"memory of worker {memory.worker}: {memory.warm_kib / 1024:.1f} MiB after warm-up, "
        f"{memory.end_kib / 1024:.1f} MiB at the end of {memory.lived:.0f} s: {memory.ratio:.2f}{judged}"
    )


def summary(path: Path, events: Sequence[AnyEvent], minutes: float) -> tuple[Summary, Verdict]:
    """Of the events that were read from there; the verdict names the lines that prove each fault."""
    judged = verdict(path, events)
    weights = memory(events)
    found = stalls(events)
    rules = Counter(fault.rule for fault in judged.faults)
    kinds = Counter(event.trouble for event in events if isinstance(event, Struck) and not event.over)
    failures = [f"{count} faults by the rule: {rule}" for rule, count in rules.items()]
    failures += [f"worker {each.worker} grew by {each.ratio - 1:.0%}" for each in weights if each.grew]
    made = Summary(
        seed=judged.seed,
        minutes=minutes,
        seconds=round(judged.seconds, 1),
        produced=judged.counts["produced"],
        delivered=judged.counts["deliveries"],
        settled=judged.counts["settled"],
        strikes=dict(kinds.most_common()),
        lost=rules["lost"],
        faults=dict(rules),
        duplicates=dict(judged.duplicates.most_common()),
        longest_stall=max((stall.seconds for stall in found), default=0.0),
        stall_in_calm=round(longest_in_calm(events), 3),
        stalls=stall_table.table(found),
        memory=weights,
        failures=failures,
    )
    return made, judged
