"""Two strikes go on at once in a short history. One kind after another: `every_kind.py` beside this file."""

from __future__ import annotations

from faults.short_histories import LONG, holds, of
from support.histories.events import read
from support.histories.plan import Strike
from support.histories.verdict import RunPlan
from support.histories.view import History


async def test_two_strikes_go_on_at_once(run_plan: RunPlan) -> None:
    """A worker without brokers is stopped on top of it, while another one is killed."""
    verdict = await run_plan(
        of(
            7,
            Strike(after=1.0, trouble="cut from brokers", lasts=LONG, which=0),
            Strike(after=0.5, trouble="SIGSTOP", lasts=1.0, which=0, beside=True),
            Strike(after=0.2, trouble="kill -9", lasts=0.5, which=0, beside=True),
            Strike(after=0.5, trouble="zookeeper killed", lasts=0.5),
        )
    )
    holds(verdict)
    first, second, third, last = History(read(verdict.path)).troubles
    assert (first.what, second.what, third.what) == ("cut from brokers", "SIGSTOP", "kill -9")
    assert first.worker == second.worker != third.worker
    assert first.began < second.began < third.began < second.ended < first.ended
    assert last.began > max(first.ended, third.ended)
