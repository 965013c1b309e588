"""Every kind of trouble, once: nothing is lost, nothing comes again without a reason, and no answer is wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from faults.selection import SELECTION
from support.histories.plan import Plan
from support.histories.soak_plan import ALL_KINDS, OF_SHARES
from support.histories.verdict import RunPlan


@pytest.mark.parametrize("plan", SELECTION.values(), ids=SELECTION.keys())
async def test_nothing_is_in_the_history_that_may_not_be(plan: Plan, run_plan: RunPlan) -> None:
    verdict = await run_plan(plan)
    assert not verdict.faults, verdict.text()
    assert verdict.counts["troubles"] == len(plan.strikes)
    assert verdict.counts["produced"] >= plan.at_least > 0
    # Operators skip some and delete some.
    assert verdict.counts["settled"] > verdict.counts["produced"] / 2


def test_every_kind_is_among_them_once() -> None:
    kinds = Counter(strike.trouble for plan in SELECTION.values() for strike in plan.strikes)
    assert kinds == Counter(ALL_KINDS | OF_SHARES)
