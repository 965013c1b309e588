"""A short history with each kind of strike upon the network and the servers, and some at random: ten minutes.

No part of `bin/test`: ``bin/isolated .venv/bin/pytest tests/faults/every_kind.py``.
"""

from __future__ import annotations

import pytest

from faults.short_histories import LONG, at_random, holds, of, was_felt
from support.histories.events import Trouble
from support.histories.plan import Strike
from support.histories.strikes import network
from support.histories.verdict import RunPlan


@pytest.mark.parametrize(
    "strike",
    [
        Strike(after=1.0, trouble="cut from brokers", lasts=LONG, which=0),
        Strike(after=1.0, trouble="cut from brokers", lasts=LONG, which=1, way="from it"),
        Strike(after=1.0, trouble="cut from brokers", lasts=LONG, which=2, way="to it"),
        Strike(after=1.0, trouble="cut from zookeepers", lasts=LONG, which=0),
        Strike(after=1.0, trouble="cut from workers", lasts=LONG, which=1),
        Strike(after=1.0, trouble="cut from workers", lasts=LONG, which=2, way="to it"),
        Strike(after=1.0, trouble="cut from clients", lasts=LONG, which=0),
        Strike(after=1.0, trouble="cut from clients", lasts=LONG, which=1, way="from it"),
        Strike(after=1.0, trouble="cut off", lasts=LONG, which=2),
        Strike(after=1.0, trouble="slow link", lasts=LONG, which=0),
        Strike(after=1.0, trouble="delayed link", lasts=LONG, which=1),
        Strike(after=1.0, trouble="broker paused", lasts=LONG, which=1),
        Strike(after=1.0, trouble="all brokers killed", lasts=LONG),
        Strike(after=1.0, trouble="broker disk full", lasts=LONG),
        Strike(after=1.0, trouble="zookeeper paused", lasts=LONG, which=1),
        Strike(after=1.0, trouble="all zookeepers killed", lasts=LONG),
    ],
    ids=lambda strike: f"{strike.trouble}, {strike.way}",
)
async def test_a_strike_costs_nothing(strike: Strike, run_plan: RunPlan) -> None:
    verdict = await run_plan(of(1 + strike.which, strike))
    holds(verdict)
    was_felt(verdict)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_strikes_at_random_cost_nothing(seed: int, run_plan: RunPlan) -> None:
    kinds: set[Trouble] = {*network.STRIKES, "kill -9", "SIGSTOP"}
    plan = at_random(seed, kinds)
    verdict = await run_plan(plan)
    holds(verdict)
    assert verdict.counts["troubles"] == len(plan.strikes)
