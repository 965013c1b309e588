"""From the command to the first message, with both commands that start a worker, from whatever folder."""

from __future__ import annotations

import time

import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Command, Workers


@pytest.mark.parametrize("command", ["fanout", "faust"])
async def test_a_worker_is_ready_in_ten_seconds_from_another_folder(
    command: Command, kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(3)
    await kafka.produce(topic, "first", partition=1)
    began = time.monotonic()
    worker = await workers.start(topic, command=command, drain="0s")
    message = (await client(worker, "one").pull()).one
    assert time.monotonic() - began < 10.0
    assert message.value == "first"
    assert (await worker.terminate(10.0)).code == 0


async def test_from_latest_misses_nothing_that_was_written_after_the_first_start(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(2)
    for partition in range(2):
        await kafka.produce(topic, "before", "before", partition=partition)
    worker = await workers.start(topic, start_from="latest")
    await kafka.produce(topic, "after the start", partition=0)
    held = (await client(worker, "one").pull()).one
    worker.kill9()
    for partition in range(2):
        await kafka.produce(topic, f"meanwhile {partition}", partition=partition)

    two = client(await workers.start(topic, start_from="latest"), "two")

    assert held.value == "after the start"
    came = sorted(message.value or "" for message in await two.take(3))
    assert came == ["after the start", "meanwhile 0", "meanwhile 1"]
    assert (await two.pull(wait_ms=500)).messages == []


async def test_from_latest_remembers_its_first_start_though_nobody_ever_pulled(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "before")
    worker = await workers.start(topic, start_from="latest")
    worker.kill9()
    await kafka.produce(topic, "meanwhile")
    two = client(await workers.start(topic, start_from="latest"), "two")
    assert (await two.pull()).one.value == "meanwhile"
    assert (await two.pull(wait_ms=500)).messages == []


async def test_from_latest_counts_from_a_first_start_that_never_got_ready(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "before")
    worker = workers.launch(topic, start_from="latest")
    await eventually(lambda: "serving" in worker.text(), every=0.01)
    worker.kill9()
    await kafka.produce(topic, "meanwhile")
    two = client(await workers.start(topic, start_from="latest"), "two")
    assert (await two.pull()).one.value == "meanwhile"
    assert (await two.pull(wait_ms=300)).messages == []
