"""Short histories, each with one strike upon the network or the servers: nothing is in them that may not be."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from faults.conftest import RunPlan
from support.histories.clusters import cluster_plan_of
from support.histories.events import Sampled, Trouble, read
from support.histories.plan import Plan, Strike
from support.histories.view import History

#: Longer than a session, which is 3 s, and than a heartbeat of the connection between two workers.
LONG = 6.0
#: Until it is done, and what was under way has arrived.
SOON = 1.0
#: What workers say of themselves or of each other meanwhile.
SIGNS: dict[Trouble, str] = {
    "cut from brokers": "no recent answer from the group's coordinator",
    "all brokers killed": "no recent answer from the group's coordinator",
    "cut from workers": "does not answer",
    "cut off": "does not answer",
}
#: Who cannot be asked meanwhile.
UNREACHED = ("cut from clients", "cut off")


def of(seed: int, *strikes: Strike) -> Plan:
    """The plan of this seed for three of each, with these strikes and no others."""
    plan = cluster_plan_of(seed, workers=3, brokers=3, zookeepers=3)
    return replace(plan, strikes=list(strikes), hands=[hand for hand in plan.hands if hand.temper != "forgetful"])


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
async def test_nothing_is_in_the_history_that_may_not_be(strike: Strike, run_plan: RunPlan) -> None:
    verdict = await run_plan(of(1 + strike.which, strike))
    assert not verdict.faults, verdict.text()
    assert verdict.counts["deliveries"] >= verdict.counts["produced"] > 0
    (trouble,) = History(read(verdict.path)).troubles
    meanwhile = [
        sample
        for sample in read(verdict.path)
        if isinstance(sample, Sampled) and trouble.began + SOON < sample.sent and sample.at < trouble.began + LONG
    ]
    if strike.trouble in UNREACHED:
        assert {sample.worker for sample in meanwhile} == {1, 2, 3} - {trouble.worker}
    if sign := SIGNS.get(strike.trouble):
        said = [reason for sample in meanwhile for reason in sample.degraded]
        assert any(sign in reason for reason in said), said


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
    assert not verdict.faults, verdict.text()
    first, second, third, last = History(read(verdict.path)).troubles
    assert (first.what, second.what, third.what) == ("cut from brokers", "SIGSTOP", "kill -9")
    assert first.worker == second.worker != third.worker
    assert first.began < second.began < third.began < second.ended < first.ended
    assert last.began > max(first.ended, third.ended)
