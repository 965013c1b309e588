"""Workers of one id that were started with other options than those that run: they end before they take part."""

from __future__ import annotations

from typing import Any

import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.failed_start import last_line
from support.kafka import Kafka
from support.workers import Workers

#: What finds out whether a worker lives that stands on the board takes 3 s.
SOON = 15.0


@pytest.mark.parametrize("other", [{"delivery": "broadcast"}, {"order": "key"}], ids=["delivery", "order"])
async def test_who_runs_is_not_disturbed_and_when_he_has_gone_the_other_may_start(
    kafka: Kafka, workers: Workers, client: MakeClient, other: dict[str, Any]
) -> None:
    topic = await kafka.new_topic(1)
    worker = await workers.start(topic, drain="0s")
    ((option, value),) = other.items()
    line = await last_line(workers.launch(topic, **other), SOON)
    assert f"was started with --{option}" in line
    assert f"and this one with --{option} {value}" in line
    assert worker.url in line
    assert worker.text().count("partitions of this worker") == 1, "there was no rebalance"
    await kafka.produce(topic, "still served")
    assert (await client(worker, "one").pull()).values == ["still served"]

    assert (await worker.terminate()).code == 0
    await workers.start(topic, **other)


async def test_of_two_that_start_at_one_time_one_ends_at_least(kafka: Kafka, workers: Workers) -> None:
    topic = await kafka.new_topic(1)
    two = [workers.launch(topic, command="fanout", delivery=delivery) for delivery in ("balance", "broadcast")]
    await eventually(lambda: not all(worker.runs for worker in two), SOON)
    for worker in two:
        if not worker.runs:
            assert "was started with --delivery" in await last_line(worker)
