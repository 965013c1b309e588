"""Clients that settle what is not theirs, or where they have not got it, with two workers of which one is killed."""

from __future__ import annotations

from collections import Counter

import pytest

from support.histories.events import read
from support.histories.plan import Hand, Plan, Strike, Write
from support.histories.verdict import RunPlan
from support.histories.view import History

TEMPERS = ("fast", "slow", "silent", "borrowing", "borrowing", "elsewhere", "elsewhere")


@pytest.mark.long
async def test_tokens_count_whoever_brings_them_and_wherever_and_none_that_nobody_was_given(run_plan: RunPlan) -> None:
    verdict = await run_plan(
        Plan(
            seed=0,
            partitions=4,
            writes=[Write(after=0.1, partition=n % 4, count=5) for n in range(400)],
            writes_end_with_strikes=True,
            hands=[Hand(name=f"{temper}-{n}", temper=temper, seed=n, roams=True) for n, temper in enumerate(TEMPERS)],
            strikes=[Strike(after=4.0, trouble="kill -9"), Strike(after=2.0, trouble="worker added")],
            workers=2,
        ),
        drained_within=30.0,
    )
    assert not verdict.faults, verdict.text()

    history = History(read(verdict.path))
    ways = Counter(forgery.entry.forged for forgery in history.forgeries if forgery.status == "lease_unknown")
    assert ways.keys() == {"damaged", "cut short", "joined of two", "of another id and topic"}
    borrowed = [one for one in history.attempts if one.asked.client != one.delivery.pull.asked.client]
    assert {(one.entry.verb, one.status) for one in borrowed} >= {("ack", "ok"), ("extend", "ok"), ("nack", "ok")}
    strangers = [one for one in history.attempts if one.asked.client.startswith("elsewhere") and one.status == "ok"]
    assert any(one.asked.worker != one.delivery.pull.asked.worker for one in strangers)
