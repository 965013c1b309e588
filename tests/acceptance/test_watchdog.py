"""A worker whose event loop hangs ends itself, whatever else it is told; one that was stopped as a whole does not."""

from __future__ import annotations

import signal
from time import monotonic

import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import READY_TOGETHER, Worker, Workers

TIMEOUT = 2.0
#: For a machine that is as busy as can be.
IN_TIME = 40.0


async def watched(kafka: Kafka, workers: Workers) -> Worker:
    topic = await kafka.new_topic(1)
    worker = workers.launch(topic, command="fanout", faults=["loop-hangs"], stall_timeout=f"{TIMEOUT:g}s", drain="0s")
    return await worker.ready(READY_TOGETHER)


@pytest.mark.parametrize("asked_to_stop", [False, True], ids=["serving", "asked-to-stop"])
async def test_a_worker_whose_loop_hangs_ends_with_one_line(
    asked_to_stop: bool, kafka: Kafka, workers: Workers
) -> None:
    worker = await watched(kafka, workers)
    worker.signal(signal.SIGUSR2)
    await eventually(lambda: "the loop hangs" in worker.text(), IN_TIME)
    if asked_to_stop:
        worker.signal(signal.SIGTERM)
    assert (await worker.ended(IN_TIME)).code == 1
    [line] = [line for line in worker.text().splitlines() if " INFO " not in line]
    assert "CRITICAL" in line
    assert "event loop has stood still" in line
    assert "in hang of" in line


async def test_a_worker_that_was_stopped_as_a_whole_goes_on(kafka: Kafka, workers: Workers, client: MakeClient) -> None:
    worker = await watched(kafka, workers)
    one = client(worker, "one")
    worker.pause()
    began = monotonic()
    await eventually(lambda: monotonic() - began > 1.5 * TIMEOUT)
    worker.resume()
    await kafka.produce(worker.topic, "after")
    assert (await one.pull(wait_ms=30_000)).one.value == "after"
    assert worker.runs
