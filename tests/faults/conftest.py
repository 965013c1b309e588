"""Tests that break the network: they run in a world of their own, ``bin/isolated .venv/bin/pytest tests/faults``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from support.histories.plan import Plan
from support.histories.runner import run
from support.histories.verdict import RunPlan, Verdict, judged
from support.network.isolation import inside
from support.network.network import Network
from support.stack import Stack, running_stack
from support.workers import ShowLogs, Workers

REMEDY = "these tests break the network they run in: bin/isolated .venv/bin/pytest tests/faults"

#: Leases of 9 s may have been handed over, and what waited for a cut to be healed waits for as long again.
_DRAINED_WITHIN = 60.0


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.items and not inside():
        pytest.exit(REMEDY, returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture(scope="session")
def placed(network: Network) -> Iterator[Stack]:
    """Three servers of each kind, each at a node of its own; one of the brokers has a small disk."""
    with running_stack(kafka=3, zookeeper=3, network=network, small_disk="kafka-1") as stack:
        yield stack


@pytest.fixture
def placed_workers(
    placed: Stack, network: Network, session: aiohttp.ClientSession, tmp_path: Path, show_logs: ShowLogs
) -> Iterator[Workers]:
    """Starts workers, each at a node of its own, and ends them with the test."""
    workers = Workers(placed.brokers, tmp_path, session, network=network)
    show_logs(workers)
    yield workers
    workers.close()


@pytest.fixture
def run_plan(placed: Stack, placed_workers: Workers, tmp_path: Path) -> RunPlan:
    async def run_and_judge(plan: Plan) -> Verdict:
        path = tmp_path / "history.jsonl"
        await run(plan, placed, placed_workers, path, drained_within=_DRAINED_WITHIN)
        return judged(path)

    return run_and_judge
