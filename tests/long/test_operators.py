"""Histories in which operators do what they may: to the topic, to the group and to clocks, on real servers."""

from __future__ import annotations

from collections import Counter

import pytest

from support.histories.events import Remade, Rewound, Trimmed, Trouble, read
from support.histories.plan import Hand, Plan, Strike, Write
from support.histories.verdict import RunPlan, Verdict
from support.histories.view import History

PARTITIONS = 3
TEMPERS = ("fast", "slow", "silent", "nacking", "late", "twice")
#: Longer than what is written before the last strike is over takes: the drain waits for leases of 3 s at most.
DRAINED_WITHIN = 30.0


def plan(*troubles: Trouble, workers: int = 1, **more: bool) -> Plan:
    """Some seconds of work, in which these come one after the other."""
    return Plan(
        seed=0,
        partitions=PARTITIONS,
        writes=[
            Write(after=0.08, partition=n % PARTITIONS, count=5, end="commit" if n % 20 == 7 else "")
            for n in range(600)
        ],
        writes_end_with_strikes=True,
        hands=[Hand(name=f"{temper}-{n}", temper=temper, seed=n, roams=True) for n, temper in enumerate(TEMPERS)],
        strikes=[Strike(after=2.0, trouble=trouble, which=n, lasts=1.0) for n, trouble in enumerate(troubles)],
        workers=workers,
        **more,  # type: ignore[arg-type]
    )


def happened(verdict: Verdict) -> Counter[type]:
    return Counter(type(event) for event in read(verdict.path))


async def passes(plan: Plan, run_plan: RunPlan) -> Verdict:
    verdict: Verdict = await run_plan(plan, drained_within=DRAINED_WITHIN)
    assert not verdict.faults, verdict.text()
    assert verdict.counts["troubles"] == len(plan.strikes)
    assert verdict.counts["deliveries"] > 100
    return verdict


async def test_partitions_are_added_while_two_workers_work(run_plan: RunPlan) -> None:
    verdict = await passes(plan("partitions added", "partitions added", workers=2), run_plan)
    history = History(read(verdict.path))
    assert {message.asked.partition for message, _ in history.produced()} == set(range(PARTITIONS + 2))


async def test_retention_deletes_past_the_floors(run_plan: RunPlan) -> None:
    verdict = await passes(plan("retention", "retention"), run_plan)
    assert happened(verdict)[Trimmed] == 2


async def test_the_group_is_set_back_and_forward(run_plan: RunPlan) -> None:
    verdict = await passes(plan("operator's reset", "operator's reset", workers=2), run_plan)
    assert happened(verdict)[Rewound] == 2
    assert verdict.duplicates["set back by an operator"] > 0


async def test_the_topic_is_made_anew_while_no_worker_is_there(run_plan: RunPlan) -> None:
    verdict = await passes(plan("topic made anew", "topic made anew"), run_plan)
    assert happened(verdict)[Remade] == 2
    assert {message.log for message, _ in History(read(verdict.path)).produced()} == {0, 1, 2}


async def test_clocks_are_turned(run_plan: RunPlan) -> None:
    await passes(plan("clock step", "clock step"), run_plan)


@pytest.mark.parametrize("troubles", [("kill -9",), ("operator's reset",)], ids=lambda troubles: troubles[0])
async def test_a_compacted_topic(troubles: tuple[Trouble, ...], run_plan: RunPlan) -> None:
    verdict = await passes(plan(*troubles, compacted=True), run_plan)
    assert verdict.counts["removed by compaction"] > 0
