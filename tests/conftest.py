"""Fixtures of the tests that need real servers; a test that asks for none of them starts none."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from support.clients import Client, MakeClient
from support.histories.plan import Plan
from support.histories.runner import DRAINED_WITHIN, run
from support.histories.verdict import RunPlan, Verdict, judged
from support.kafka import Kafka
from support.stack import Stack, running_stack
from support.workers import READY_TOGETHER, ShowLogs, Worker, Workers

_WORKERS = pytest.StashKey[list[Worker]]()

_FRESH_PARTITIONS = 3

#: Of the files that take longest, the place of each.
_LONGEST = {
    f"test_{name}": place
    for place, name in enumerate(
        ("client_libraries", "stopping", "many_servers", "sabotage", "histories", "start_errors", "another_log",
         "client_clusters", "leader_cut_off", "groups", "zookeepers_away", "moving", "doctor", "winding_back", "mirror",
         "canary_guard", "order_by_key", "bug_cases_poison", "acks_with_gaps", "demo", "holes_queue", "delays",
         "handover", "redirect", "holes_clients")
    )
}  # fmt: skip

#: What processes of pytest-xdist share, and the end of it.
_SHARED = pytest.StashKey[Stack]()
_FOR_ALL = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FOR_ALL] = ExitStack()
    # Asked to end, it ends what it has started, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A worker started by a test must not read what a shell happens to export.
    for variable in [name for name in os.environ if name.startswith(("FANOUT_", "KAFKA_", "ZK_"))]:
        del os.environ[variable]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest come first: of several processes none is to begin one when the others have ended."""
    items.sort(key=lambda item: _LONGEST.get(item.path.stem, len(_LONGEST)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Before pytest-xdist starts a process: all of them have one stack, as each takes time from the tests."""
    stash = node.config.stash
    if _SHARED not in stash:
        stash[_SHARED] = stash[_FOR_ALL].enter_context(running_stack())
    node.workerinput["stack"] = asdict(stash[_SHARED])


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_FOR_ALL].close()


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """For tests of topics of their own, which have nobody else's servers to break: for those there is `own_stack`."""
    told = getattr(request.config, "workerinput", {})
    with nullcontext(Stack(**told["stack"])) if told else running_stack() as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka(stack: Stack) -> AsyncIterator[Kafka]:
    async with Kafka(stack.brokers) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def own_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack that a module has for itself, to break it: as many servers as its ``SERVERS`` says, or one Kafka."""
    with running_stack(**getattr(request.module, "SERVERS", {"zookeeper": 0})) as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def kafkas(own_stack: Stack) -> AsyncIterator[Kafka]:
    async with Kafka(own_stack.brokers) as kafka:
        yield kafka


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


@pytest.fixture
def workers(
    stack: Stack, session: aiohttp.ClientSession, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Workers]:
    """Starts workers, and ends them with the test."""
    workers = Workers(stack.brokers, tmp_path, session)
    request.node.stash[_WORKERS] = workers.all
    yield workers
    workers.close()


@pytest.fixture
def workers_without_kafka(
    session: aiohttp.ClientSession, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Workers]:
    """The same for workers with a topic in memory."""
    workers = Workers("", tmp_path, session)
    request.node.stash[_WORKERS] = workers.all
    yield workers
    workers.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fresh_workers(
    stack: Stack,
    kafka: Kafka,
    session: aiohttp.ClientSession,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Iterator[Worker]]:
    """The workers of all tests of a module that ask for `fresh`, started at once: most of a start is waiting."""
    count = sum("fresh" in item.fixturenames for item in request.session.items if item.path == request.path)  # type: ignore[attr-defined]
    workers = Workers(stack.brokers, tmp_path_factory.mktemp("fresh"), session)
    try:
        launched = [workers.launch(await kafka.new_topic(_FRESH_PARTITIONS)) for _ in range(count)]
        await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in launched))
        yield iter(launched)
    finally:
        workers.close()


@pytest.fixture
def fresh(fresh_workers: Iterator[Worker], request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A worker of this test alone that is ready, with a topic of three empty partitions of its own."""
    worker = next(fresh_workers)
    request.node.stash[_WORKERS] = [worker]
    yield worker
    worker.close()


@pytest.fixture
def show_logs(request: pytest.FixtureRequest) -> ShowLogs:
    """For a test that uses workers of its module: whose logs to show if it fails."""

    def show(workers: Workers) -> None:
        request.node.stash[_WORKERS] = workers.all

    return show


@pytest.fixture
def run_plan(
    own_stack: Stack, session: aiohttp.ClientSession, tmp_path: Path, show_logs: ShowLogs
) -> Iterator[RunPlan]:
    """Runs a plan of a history on a stack that the module has for itself, and judges what came of it."""
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


@pytest.fixture
def client(session: aiohttp.ClientSession) -> MakeClient:
    """Makes clients: ``client(worker, "a")``."""
    return lambda worker, name: Client(session, worker, name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the workers of the test logged."""
    report = yield
    if report.failed and report.when == "call":
        for worker in item.stash.get(_WORKERS, []):
            report.sections.append((f"log of {worker!r}", worker.text()))
    return report
