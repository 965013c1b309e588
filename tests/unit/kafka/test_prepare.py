"""A start whose first broker does not answer any more, as one that was lost a moment ago."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import InvalidReplicationFactorError, KafkaError, KafkaTimeoutError, NodeNotReadyError

from fanout_app.core.errors import StartError
from fanout_app.kafka import prepare as module
from fanout_app.kafka.brokers import Brokers
from fanout_app.options import from_environment

PREPARED = module.Prepared(source=None, lease_keys=[b""], first_starts={}, paused=False)  # type: ignore[arg-type]


class Admin:
    """A client of brokers that fail in this order, and then do what they are asked."""

    def __init__(self, *errors: KafkaError | TimeoutError) -> None:
        self.errors = list(errors)
        self.open = 0
        self._client = self
        self.cluster = self

    def brokers(self) -> list[Any]:
        return []

    async def connect(self, brokers: Brokers) -> Admin:
        self.open += 1
        return self

    async def close(self) -> None:
        self.open -= 1

    async def look_and_make(self, admin: Admin, *_: Any) -> module.Prepared:
        assert admin.open == 1
        if self.errors:
            raise self.errors.pop(0)
        return PREPARED


def prepared(monkeypatch: pytest.MonkeyPatch, admin: Admin) -> module.Prepared:
    monkeypatch.setenv("FANOUT_ID", "a")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    monkeypatch.setattr("fanout_app.kafka.reach.connect", admin.connect)
    monkeypatch.setattr(module, "_look_and_make", admin.look_and_make)
    monkeypatch.setattr(module, "_PAUSE", 0.001)
    return module.prepare(from_environment(), Brokers(()))


def test_it_is_begun_again_where_another_broker_may_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = Admin(NodeNotReadyError(), KafkaTimeoutError(), NodeNotReadyError())
    assert prepared(monkeypatch, admin) is PREPARED
    assert (admin.errors, admin.open) == ([], 0)


def test_what_time_does_not_mend_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = Admin(InvalidReplicationFactorError(), NodeNotReadyError())
    with pytest.raises(StartError, match="InvalidReplicationFactorError"):
        prepared(monkeypatch, admin)
    assert (len(admin.errors), admin.open) == (1, 0)


def test_it_ends_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BEGUN_AGAIN_FOR", 0.01)
    with pytest.raises(StartError, match="refused the start: NodeNotReadyError"):
        prepared(monkeypatch, Admin(*(NodeNotReadyError() for _ in range(1000))))


def test_a_request_that_waited_in_vain_for_a_broker_that_was_lost_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was the controller is waited for by its name until the request's time is up."""
    admin = Admin(TimeoutError(), TimeoutError())
    assert prepared(monkeypatch, admin) is PREPARED
    assert (admin.errors, admin.open) == ([], 0)
    monkeypatch.setattr(module, "_BEGUN_AGAIN_FOR", 0.01)
    with pytest.raises(StartError, match="answered, and then not within"):
        prepared(monkeypatch, Admin(*(TimeoutError() for _ in range(1000))))
