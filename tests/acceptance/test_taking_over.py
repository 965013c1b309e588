"""Workers of one group that come and go: everybody has work, and who leaves hands over before it is gone."""

from __future__ import annotations

import asyncio
import signal

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import READY_TOGETHER, Worker, Workers

PARTITIONS = 4
#: Far longer than a take-over takes, also on a busy machine: who waits for the end of it waits in vain.
LONG_DRAIN = "60s"
TAKEN_OVER = 30.0


async def test_each_of_three_has_some_of_four_partitions_and_who_leaves_hands_over_at_once(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    leaving = workers.launch(topic, drain=LONG_DRAIN)
    staying = [workers.launch(topic, drain="0s") for _ in range(2)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in [leaving, *staying]))
    await eventually(lambda: share(leaving, *staying), TAKEN_OVER)
    lost = min(await leaving.partitions())
    await kafka.produce(topic, "acked", "left", partition=lost)
    one = client(leaving, "one")
    acked = (await one.pull()).one
    assert (await one.ack(acked.lease)).acked == 1

    leaving.signal(signal.SIGTERM)
    await eventually(lambda: share(*staying), TAKEN_OVER)
    assert leaving.runs
    [owner] = [worker for worker in staying if lost in await worker.partitions()]
    assert (await client(owner, "two").pull()).values == ["left"]

    for worker in staying:
        worker.signal(signal.SIGTERM)
    exits = await asyncio.gather(*(worker.ended(40.0) for worker in staying))
    assert [exit.code for exit in exits] == [0, 0]
    assert [line for worker in workers.all for line in worker.text().splitlines() if " INFO " not in line] == []
    assert await kafka.has_committed("service", topic, {lost: 1})


async def share(*workers: Worker) -> bool:
    """Each of these has some partitions, and together they have all."""
    owned = [set(await worker.partitions()) for worker in workers]
    return all(owned) and sorted(number for numbers in owned for number in numbers) == list(range(PARTITIONS))
