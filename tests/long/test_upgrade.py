"""Three workers are replaced in turn under load by clients of each kind: nothing is lost, and nothing comes twice.

By the same version (a restart), by this one where an earlier one was (an upgrade), and back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from support.earlier import earlier_source
from support.eventually import eventually
from support.kafka import Kafka
from support.load import Load
from support.stack import ROOT
from support.workers import READY_TOGETHER, Worker, Workers

PARTITIONS = 4
#: The first commit whose workers take what the client libraries send (`receive_id`) and that is whole.
BEFORE = "97f6130"


@pytest.fixture
def sources() -> dict[str, Path]:
    """Where the versions are imported from. The earlier one needs no other packages than this one."""
    return {"this": ROOT, "before": earlier_source(BEFORE)}


async def version(worker: Worker, session: aiohttp.ClientSession) -> str:
    """Told by what a seek of a partition is answered that the topic does not have."""
    async with session.post(f"{worker.url}/v1/seek", json={"partition": PARTITIONS, "to": "latest"}) as response:
        return {400: "this", 503: "before"}[response.status]


@pytest.mark.parametrize(("first", "then"), [("this", "this"), ("before", "this"), ("this", "before")])
async def test_workers_are_replaced_one_after_the_other_and_no_message_is_lost_or_comes_twice(
    first: str,
    then: str,
    sources: dict[str, Path],
    kafka: Kafka,
    workers: Workers,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    running = [workers.launch(topic, environment={"PYTHONPATH": str(sources[first])}) for _ in range(3)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in running))
    assert {await version(worker, session) for worker in running} == {first}
    load = Load(kafka, topic, PARTITIONS, tmp_path)

    async with load.at(*(worker.url for worker in running)):
        for number, leaving in enumerate(running):
            await load.goes_on()
            assert (await leaving.terminate()).code == 0
            running[number] = workers.again(leaving, environment={"PYTHONPATH": str(sources[then])})
            await running[number].ready()
        assert {await version(worker, session) for worker in running} == {then}
        await load.goes_on()

    assert load.handled() == Counter(range(load.produced))
    ends = await kafka.ends(topic, range(PARTITIONS))
    await eventually(lambda: kafka.has_committed("service", topic, ends), 20.0)
