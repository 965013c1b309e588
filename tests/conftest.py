"""Fixtures of the tests that need real servers; a test that asks for none of them starts none."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from support.clients import Client, MakeClient
from support.kafka import Kafka
from support.stack import Stack, running_stack
from support.workers import Workers

_WORKERS = pytest.StashKey[Workers]()


def pytest_configure() -> None:
    # A worker started by a test must not read what a shell happens to export.
    for variable in [name for name in os.environ if name.startswith("FANOUT_")]:
        del os.environ[variable]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with running_stack() as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka(stack: Stack) -> AsyncIterator[Kafka]:
    async with Kafka(stack.brokers) as kafka:
        yield kafka


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


@pytest.fixture
def workers(
    stack: Stack, session: aiohttp.ClientSession, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Workers]:
    workers = Workers(stack.brokers, tmp_path, session)
    request.node.stash[_WORKERS] = workers
    yield workers
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
    workers = item.stash.get(_WORKERS, None)
    if report.failed and report.when == "call" and workers is not None:
        for worker in workers.all:
            report.sections.append((f"log of {worker!r}", worker.text()))
    return report
