"""Workers that are broken on purpose, alone and in a cluster: the judge catches each, and lets pass what is whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from support.histories.group_plans import WEIGHTS, broadcast_plan
from support.histories.plan import Hand, Plan, Strike, Write
from support.histories.verdict import RunPlan

PARTITIONS = 3
#: Where the fault has to meet a moment at which it tells, a busy machine may miss that once.
TRIES = 3
#: A broken worker may never come to the end of its drain.
DRAINED_WITHIN = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """What is broken, a plan in which that tells, and the rules by which it may be seen."""

    fault: str
    plan: Plan
    rules: set[str]


def _plan(*tempers: str, writes: list[Write], home: int | None = None, **more: Any) -> Plan:
    hands = [Hand(name=f"{temper}-{n}", temper=temper, seed=n, home=home) for n, temper in enumerate(tempers)]
    return Plan(**{"seed": 0, "partitions": PARTITIONS, "writes": writes, "hands": hands, "strikes": [], **more})


def _trickle(seconds: float, count: int = 4) -> list[Write]:
    return [Write(after=0.05, partition=n % PARTITIONS, count=count) for n in range(int(seconds / 0.05))]


KILLED = Strike(after=2.0, trouble="kill -9", lasts=0.0)
LARGE = [Write(after=0.0, partition=n % PARTITIONS, count=1, size=900_000) for n in range(24)]

SABOTAGES = [
    Sabotage(
        fault="commits-highest",
        plan=_plan("fast", "slow", "silent", writes=_trickle(4.0), strikes=[KILLED]),
        rules={"committed"},
    ),
    Sabotage(
        fault="answers-before-the-write",
        plan=_plan("fast", "fast", "slow", writes=_trickle(4.0), strikes=[KILLED]),
        rules={"acked and again"},
    ),
    Sabotage(
        fault="jumps-are-holes",
        plan=_plan("fast", "slow", writes=_trickle(4.0, count=10), faults=["dropped-at-random"]),
        rules={"lost", "committed"},
    ),
    Sabotage(
        fault="late-shares-count",
        plan=replace(
            _plan("fast", "slow", writes=_trickle(60.0), faults=["shares-written-late"], weights=WEIGHTS[0]),
            writes_end_with_strikes=True,
            strikes=[Strike(after=1.5, trouble="weights changed", weights=WEIGHTS[2])],
            quiet=2.0,
        ),
        rules={"shares undone"},
    ),
    Sabotage(fault="never-released", plan=_plan("unread", writes=LARGE, quiet=4.0), rules={"not handed out"}),
]


#: Two of each kind in bin/test, the others in bin/integration.
LONG = {"late-shares-count", "never-released", "answers-before-the-write"}


@pytest.mark.parametrize(
    "sabotage",
    [pytest.param(each, id=each.fault, marks=[pytest.mark.long] * (each.fault in LONG)) for each in SABOTAGES],
)
async def test_a_broken_worker_is_caught_and_a_whole_one_passes_the_same_plan(
    sabotage: Sabotage, run_plan: RunPlan
) -> None:
    broken = replace(sabotage.plan, faults=[*sabotage.plan.faults, sabotage.fault])
    whole, caught = await asyncio.gather(run_plan(sabotage.plan), run_plan(broken, drained_within=DRAINED_WITHIN))
    assert not whole.faults, whole.text()
    assert {fault.rule for fault in caught.faults} >= sabotage.rules, caught.text()


#: One goes in good order, while clients have messages that they work at for longer than that takes.
REMOVED = _plan(
    "fast", "forgetful", "forgetful",
    workers=2, writes=_trickle(3.0), strikes=[Strike(after=1.5, trouble="worker removed")], quiet=0.5,
)  # fmt: skip
#: One is away for longer than its session, and comes back: its partitions go and return. All clients are at the other
#: one, in the middle of acking what the one that is away has handed out; and one of them holds up the floors all along.
STOPPED = _plan(
    "forgetful", *["slow"] * 6,
    home=1, workers=2, writes=_trickle(60.0, 2), writes_end_with_strikes=True,
    strikes=[Strike(after=2.0, trouble="SIGSTOP", lasts=4.5)], quiet=1.0,
)  # fmt: skip


#: A group whose row is lost begins anew at the new owner: with what had come already, or behind what had not.
BROADCAST = broadcast_plan(1, Strike(after=3.0, trouble="worker removed"), quiet=2.0)


@pytest.mark.parametrize(
    ("plan", "caught_by"),
    [
        (REMOVED, {"leases-are-not-handed-over": {"cut by a move"}}),
        pytest.param(
            replace(REMOVED, order="key"), {"keys-are-not-handed-over": {"order by key"}}, marks=pytest.mark.long
        ),
        (BROADCAST, {"a-row-of-a-group-is-lost": {"acked and again", "lost"}}),
        pytest.param(
            STOPPED,
            {"a-stale-row-wins": {"acked and again"}, "forwarded-acks-are-believed": {"acked and again"}},
            marks=pytest.mark.long,
        ),
    ],
    ids=["removed", "removed, in order", "removed, broadcast", "stopped"],
)
async def test_a_broken_cluster_is_caught_and_a_whole_one_passes_the_same_plan(
    plan: Plan, caught_by: dict[str, set[str]], run_plan: RunPlan
) -> None:
    """All at once: they wait most of the time, and have nothing in common but the broker. Each by one of its rules."""

    async def is_whole() -> None:
        verdict = await run_plan(plan)
        assert not verdict.faults, verdict.text()

    async def is_caught(fault: str, rules: set[str]) -> None:
        missed = []
        for _ in range(TRIES):
            verdict = await run_plan(replace(plan, faults=[fault]), drained_within=DRAINED_WITHIN)
            if rules & {fault.rule for fault in verdict.faults}:
                return
            missed.append(verdict.text())
        raise AssertionError("\n".join(missed))

    await asyncio.gather(is_whole(), *(is_caught(*each) for each in caught_by.items()))
