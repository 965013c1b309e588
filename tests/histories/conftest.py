"""Histories kill and stop the broker, so they have a stack of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from support.histories.plan import Plan
from support.histories.runner import DRAINED_WITHIN, run
from support.histories.verdict import Verdict, judged
from support.stack import Stack, running_stack
from support.workers import ShowLogs, Workers

#: Runs a plan and judges what came of it; the second argument is for how long to drain at most.
RunPlan = Callable[..., Awaitable[Verdict]]


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    with running_stack(zookeeper=0) as stack:
        yield stack


@pytest.fixture
def run_plan(
    own_stack: Stack, session: aiohttp.ClientSession, tmp_path: Path, show_logs: ShowLogs
) -> Iterator[RunPlan]:
    every: list[Workers] = []

    async def run_and_judge(plan: Plan, drained_within: float = DRAINED_WITHIN) -> Verdict:
        folder = tmp_path / f"run-{len(every) + 1}"
        folder.mkdir()
        workers = Workers(own_stack.brokers, folder, session)
        every.append(workers)
        show_logs(workers)
        await run(plan, own_stack, workers, folder / "history.jsonl", drained_within=drained_within)
        return judged(folder / "history.jsonl")

    yield run_and_judge
    for workers in every:
        workers.close()
