"""Whether a group does well: what its guard allows, against what was counted of it and of the baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from fanout_app.core.canary import Guard
from fanout_app.core.windows import Tally

#: A baseline that hardly ever fails, or answers at once, is no measure: anybody passes twice as much as nothing. So it
#: counts as failing one in a hundred at least, and as taking 10 ms.
LEAST_RATIO = 0.01
LEAST_P99 = 0.010


class Verdict(NamedTuple):
    """What is to be thought of a group, and why."""

    kind: Literal["good", "failing", "undecided"]
    reason: str


def judge(guard: Guard, group: Tally, stable: Tally) -> Verdict:
    """Failing if any limit is passed; undecided as long as too few deliveries have ended.

    A limit that is relative to the baseline needs as many samples of that.
    """
    if group.ended < guard.min_samples:
        return Verdict("undecided", f"{group.ended} deliveries have ended, {guard.min_samples} are asked for")
    passed = next(_passed(guard, group, stable), None)
    if passed is not None:
        return Verdict("failing", passed)
    return Verdict("good", f"{group.failures} of {group.ended} failed")


def _passed(guard: Guard, group: Tally, stable: Tally) -> Iterator[str]:
    """Each limit that is passed, in words."""
    failed = f"{group.failures} of {group.ended} failed ({group.nacked} nacked, {group.expired} expired)"
    ratio = group.failure_ratio
    if guard.max_failure_ratio is not None and ratio > guard.max_failure_ratio:
        yield f"{failed}: {ratio:.3g}, max_failure_ratio is {guard.max_failure_ratio:g}"
    if stable.ended < guard.min_samples:
        return
    if guard.max_ratio_over_stable is not None:
        times = ratio / max(stable.failure_ratio, LEAST_RATIO)
        if times > guard.max_ratio_over_stable:
            yield f"{failed}: {times:.3g} times stable's, max_ratio_over_stable is {guard.max_ratio_over_stable:g}"
    slow, usual = group.latency(0.99), stable.latency(0.99)
    if guard.max_p99_over_stable is not None and slow is not None and usual is not None:
        times = slow / max(usual, LEAST_P99)
        if times > guard.max_p99_over_stable:
            yield (
                f"99 % of acks came within {1000 * slow:.0f} ms, {1000 * usual:.0f} ms with stable: {times:.3g} times "
                f"as much, max_p99_over_stable is {guard.max_p99_over_stable:g}"
            )
