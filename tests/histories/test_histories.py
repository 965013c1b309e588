"""Three histories with real servers: workers and a broker that are killed and stopped. `bin/integration` runs many."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from support.histories.clusters import cluster_plan_of
from support.histories.plan import Plan, Strike, plan_of
from support.histories.verdict import RunPlan

KILLED = Strike(after=1.5, trouble="kill -9", lasts=0.2)
STOPPED = Strike(after=1.0, trouble="SIGSTOP", lasts=0.7)
NO_BROKER = Strike(after=1.5, trouble="broker killed", lasts=0.5)
PAUSED_BROKER = Strike(after=1.0, trouble="broker paused", lasts=1.0)


#: Of two workers: one is killed while both take requests, and the other leaves for good when it is back.
ONE_KILLED = Strike(after=1.0, trouble="kill -9", lasts=0.0, which=1)
ONE_REMOVED = Strike(after=1.0, trouble="worker removed", which=0)


def short(seed: int, *strikes: Strike) -> Plan:
    """The plan of this seed, with these strikes and no others."""
    return replace(plan_of(seed), strikes=list(strikes))


def cluster(seed: int, *strikes: Strike) -> Plan:
    """The same for two workers, without the client whose leases would have to be waited for."""
    plan = cluster_plan_of(seed, workers=2)
    return replace(plan, strikes=list(strikes), hands=[hand for hand in plan.hands if hand.temper != "forgetful"])


@pytest.mark.parametrize(
    "plan",
    [
        short(1, KILLED, STOPPED),
        short(2, NO_BROKER, PAUSED_BROKER),
        cluster(3, ONE_KILLED, ONE_REMOVED),
    ],
    ids=["a worker killed and stopped", "a broker killed and paused", "of two workers one killed and one removed"],
)
async def test_nothing_is_in_the_history_that_may_not_be(plan: Plan, run_plan: RunPlan) -> None:
    verdict = await run_plan(plan)
    assert not verdict.faults, verdict.text()
    assert verdict.counts["troubles"] == len(plan.strikes)
    assert verdict.counts["deliveries"] >= verdict.counts["produced"] > 0


def test_the_same_seed_gives_the_same_plan() -> None:
    assert plan_of(7) == plan_of(7)
    assert plan_of(7) != plan_of(8)
    assert cluster_plan_of(7, workers=3, zookeepers=1) == cluster_plan_of(7, workers=3, zookeepers=1)
