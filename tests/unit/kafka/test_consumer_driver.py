"""When a changelog that is recovered from has been read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from faust.types import TP

from fanout_app.kafka.consumer_driver import ConsumerDriver

CHANGELOG = TopicPartition("changelog", 0)


@pytest.mark.parametrize(
    ("position", "highwater", "awaited", "is_read"),
    [
        (8, 8, 7, True),
        (7, 8, 6, False),
        (8, None, 7, False),
        # A new leader that does not know yet how far its followers are: there is more, of which a fetch says nothing.
        (6, 6, 7, False),
        # Rows of ours have come since the recovery began.
        (8, 10, 7, False),
        (10, 10, 7, True),
        (8, 8, None, True),
    ],
)
def test_it_is_read_to_the_end_that_the_recovery_waits_for(
    position: int, highwater: int | None, awaited: int | None, is_read: bool
) -> None:
    state = SimpleNamespace(position=position, highwater=highwater)
    assignment = SimpleNamespace(state_value={CHANGELOG: state}.__getitem__)
    fetcher: Any = SimpleNamespace(_subscriptions=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)))
    highwaters = {} if awaited is None else {TP(*CHANGELOG): awaited}
    recovery = SimpleNamespace(active_highwaters=highwaters)
    driver: Any = SimpleNamespace(app=SimpleNamespace(tables=SimpleNamespace(recovery=recovery)))
    assert ConsumerDriver._is_read(driver, fetcher, CHANGELOG) is is_read
