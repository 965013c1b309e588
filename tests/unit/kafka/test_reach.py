"""The first contact, where a broker answers that its cluster has taken for dead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fanout_app.core.errors import StartError
from fanout_app.kafka import reach
from fanout_app.kafka.brokers import Brokers


class Admin:
    """Answers with so many brokers, one number a client made."""

    known: list[int]
    closed: int

    def __init__(self, **_: Any) -> None:
        brokers = [SimpleNamespace()] * (self.known.pop(0) if self.known else 0)
        self._client = SimpleNamespace(cluster=SimpleNamespace(brokers=lambda: brokers))

    async def start(self) -> None: ...

    async def close(self) -> None:
        type(self).closed += 1


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "AIOKafkaAdminClient", Admin)
    monkeypatch.setattr(reach, "_PAUSE", 0.0)
    Admin.closed = 0


async def test_a_broker_that_names_no_broker_is_asked_again_until_it_does() -> None:
    Admin.known = [0, 0, 1]
    admin = await reach.connect(Brokers(("here:9092",)))
    assert len(admin._client.cluster.brokers()) == 1
    assert Admin.closed == 2


async def test_a_cluster_that_never_has_a_broker_ends_the_start_with_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Admin.known = []
    monkeypatch.setattr(reach, "REACH_FOR", 0.01)
    with pytest.raises(StartError, match="here:9092 answers, but no broker has joined its cluster; start it"):
        await reach.connect(Brokers(("here:9092",)))
    assert Admin.closed > 0
