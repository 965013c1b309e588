"""Cases of `bug-cases.md`, kind group membership: a spare, and a worker that nobody asks for anything, stay members."""

from __future__ import annotations

from time import monotonic

import pytest

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import READY_TOGETHER, Worker, Workers

ID = "service"
#: Session timeout of the tests (3 s) and the 5 s that the case allows, and what a busy machine may need on top.
TAKEN_OVER = 25.0
#: Seconds without a fetch after which a member is put out here, and for how long nobody asks for anything.
LIMIT = 2
SILENCE = 5.0
#: Seconds for 50 messages to a client that comes after that.
AT_ONCE = 3.0
#: The control waits that long for what must not happen.
STAYS_OUT = 8.0


async def test_d12_a_spare_takes_over_and_silence_puts_nobody_out(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    """Of itself nobody goes by the limit of polls, which is 30 days; with a low one nobody meets it either."""
    topic = await kafka.new_topic(1)
    values = [str(number) for number in range(100)]
    await kafka.produce(topic, *values)
    first = await workers.launch(topic, faults=[f"polls-are-due={LIMIT}"]).ready(READY_TOGETHER)
    spare = await workers.launch(topic, faults=[f"polls-are-due={LIMIT}"]).ready(READY_TOGETHER)
    # Nobody asks for anything meanwhile.
    generation = (await first.status())["generation"]
    silent_until = monotonic() + SILENCE
    await eventually(lambda: monotonic() > silent_until, SILENCE + 5.0)
    assert await has_members(kafka, topic, 2)
    assert (await first.status())["generation"] == generation
    began = monotonic()
    taken = await client(first, "one").take(50, ack_wait_ms=60_000)
    assert monotonic() - began < AT_ONCE
    assert (await client(first, "one").ack(*(message.lease for message in taken))).acked == 50
    assert await spare.partitions() == {}

    first.kill9()
    await eventually(lambda: owns(spare), TAKEN_OVER)
    left = await client(spare, "two").take(50)
    assert [message.value for message in left] == values[50:]


@pytest.mark.long
async def test_d12_control_with_the_limit_of_polls_a_spare_leaves_the_group_for_good(
    kafka: Kafka, workers: Workers
) -> None:
    topic = await kafka.new_topic(1)
    first = await workers.launch(topic).ready(READY_TOGETHER)
    spare = workers.launch(topic, faults=[f"idle-members-leave={LIMIT}"])
    await eventually(lambda: has_members(kafka, topic, 2), READY_TOGETHER)
    await eventually(lambda: has_members(kafka, topic, 1), TAKEN_OVER)
    first.kill9()
    with pytest.raises(AssertionError, match="not true within"):
        await eventually(lambda: owns(spare), STAYS_OUT)
    assert spare.runs


async def owns(worker: Worker) -> bool:
    return set(await worker.partitions()) == {0}


async def has_members(kafka: Kafka, topic: str, count: int) -> bool:
    return await kafka.members(ID, topic) == count
