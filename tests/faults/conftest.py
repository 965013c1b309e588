"""Tests that break the network: they run in a world of their own, ``bin/isolated .venv/bin/pytest tests/faults``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.network.isolation import inside
from support.network.network import Network

REMEDY = "these tests break the network they run in: bin/isolated .venv/bin/pytest tests/faults"


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.items and not inside():
        pytest.exit(REMEDY, returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network
