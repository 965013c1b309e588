"""D14 among several: machines whose clocks are days apart work together as if they were not."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import READY_TOGETHER, Worker, Workers

ID = "service"
DAY = 86_400


async def has_one(worker: Worker) -> bool:
    return len(await worker.partitions()) == 1


@pytest.mark.parametrize("ahead", [DAY, -2 * DAY])
async def test_d14_a_worker_whose_clock_is_days_off_is_one_like_any_other(
    ahead: int, kafka: Kafka, workers: Workers, client: MakeClient, tmp_path: Path
) -> None:
    clock = tmp_path / "ahead"
    clock.write_text(str(ahead))
    topic = await kafka.new_topic(2)
    right, wrong = workers.launch(topic), workers.launch(topic, faults=[f"wall-clock={clock}"])
    await asyncio.gather(*(one.ready(READY_TOGETHER) for one in (right, wrong)))
    for worker in (right, wrong):
        await eventually(partial(has_one, worker), READY_TOGETHER)

    # A client at either worker gets and settles the messages of both.
    for asked in (right, wrong):
        await kafka.produce(topic, "zero", partition=0)
        await kafka.produce(topic, "one", partition=1)
        one = client(asked, f"at {asked.url}")
        came = await one.take(2)
        assert {message.value for message in came} == {"one", "zero"}
        assert (await one.ack(*(message.lease for message in came))).acked == 2
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 2, 1: 2}))
    warned = [line for worker in (right, wrong) for line in worker.text().splitlines() if " WARNING " in line]
    assert len(warned) == 1
    assert f" is {abs(ahead)} s " in warned[0]
