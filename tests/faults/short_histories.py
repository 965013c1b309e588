"""Short histories of three of each with chosen strikes, and whether these were felt."""

from __future__ import annotations

import random
from collections.abc import Collection

from msgspec.structs import replace

from support.histories.clusters import cluster_plan_of
from support.histories.events import Sampled, Trouble, read
from support.histories.plan import Plan, Strike
from support.histories.verdict import Verdict
from support.histories.view import History

#: Longer than a session, which is 3 s, and than a heartbeat of the connection between two workers.
LONG = 6.0
#: Until it is done, and what was under way has arrived.
_SOON = 1.0
#: What workers say of themselves or of each other meanwhile.
_SIGNS: dict[str, str] = {
    "cut from brokers": "no recent answer from the group's coordinator",
    "all brokers killed": "no recent answer from the group's coordinator",
    "cut from workers": "does not answer",
    "cut off": "does not answer",
}
#: Who cannot be asked meanwhile.
_UNREACHED = ("cut from clients", "cut off")


def of(seed: int, *strikes: Strike) -> Plan:
    """The plan of this seed for three of each, with these strikes and no others."""
    plan = cluster_plan_of(seed, workers=3, brokers=3, zookeepers=3)
    return replace(plan, strikes=list(strikes), hands=[hand for hand in plan.hands if hand.temper != "forgetful"])


def at_random(seed: int, kinds: Collection[Trouble]) -> Plan:
    """Five strikes of these kinds, short ones and long ones, often two at once."""
    dice = random.Random(f"faults {seed}")
    return of(
        seed,
        *(
            Strike(
                after=round(dice.uniform(0.2, 3.0), 2),
                trouble=dice.choice(sorted(kinds)),
                lasts=round(dice.choice((dice.uniform(0.3, 2.5), dice.uniform(4.0, 9.0))), 2),
                which=dice.randrange(60),
                way=dice.choice(("both", "from it", "to it")),
                beside=dice.random() < 0.4,
            )
            for _ in range(5)
        ),
    )


def holds(verdict: Verdict) -> None:
    """
    Raises:
        AssertionError: something is in the history that may not be.
    """
    assert not verdict.faults, verdict.text()
    assert verdict.counts["deliveries"] >= verdict.counts["produced"] > 0


def was_felt(verdict: Verdict) -> None:
    """
    Raises:
        AssertionError: its one strike, of length `LONG`, made no difference to what workers say, or answer at all.
    """
    events = read(verdict.path)
    (trouble,) = History(events).troubles
    meanwhile = [
        sample
        for sample in events
        if isinstance(sample, Sampled) and trouble.began + _SOON < sample.sent and sample.at < trouble.began + LONG
    ]
    if trouble.what in _UNREACHED:
        assert {sample.worker for sample in meanwhile} == {1, 2, 3} - {trouble.worker}
    if sign := _SIGNS.get(trouble.what):
        said = [reason for sample in meanwhile for reason in sample.degraded]
        assert any(sign in reason for reason in said), said
