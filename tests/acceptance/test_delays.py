"""Messages that rest after a nack: as long as was asked for, in nobody's way, without their bodies if that is long."""

from __future__ import annotations

from time import monotonic

from support.clients import Client, Delivery, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers

ID = "service"
MANY = 300


async def nack_all(client: Client, messages: list[Delivery], delay_ms: int) -> None:
    nacks = [{"lease": message.lease, "delay_ms": delay_ms} for message in messages]
    settled = await client.settle(nack=nacks)
    assert (settled.nacked, settled.results) == (len(messages), {})


async def has_delayed(worker: Worker, count: int) -> bool:
    return bool((await worker.status())["delayed"] == count)


async def test_long_delays_keep_no_bodies_fill_no_budget_and_come_back_whole(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(2)
    values = [f"{number} {'x' * 2000}" for number in range(MANY)]
    for partition in range(2):
        await kafka.produce(topic, *values, partition=partition)
    worker = await workers.start(topic, long_delay="500ms", max_ack_pending="100", client_limit="5000")
    one, other = client(worker, "one"), client(worker, "other")

    delayed: dict[tuple[int, int], Delivery] = {}
    began = monotonic()
    while len(delayed) < 2 * MANY:
        messages = (await one.pull(max_messages=100, wait_ms=5000)).messages
        assert messages, "those that rest hold the others up"
        delayed |= {(message.partition, message.offset): message for message in messages}
        await nack_all(one, messages, delay_ms=6000)
    assert monotonic() - began < 6.0, "this machine is too slow for this test to show anything"
    status = await worker.status()
    assert (status["delayed"], status["buffered_bytes"]) == (2 * MANY, 0)

    again = await other.take(2 * MANY)
    assert monotonic() - began >= 6.0
    assert {(message.partition, message.offset): message.value for message in again} == {
        key: message.value for key, message in delayed.items()
    }
    assert {message.delivery_count for message in again} == {2}
    await other.ack(*(message.lease for message in again))
    await eventually(lambda: kafka.has_committed(ID, topic, {0: MANY, 1: MANY}))


async def test_what_retention_deletes_while_it_rests_is_counted_and_the_rest_comes(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"v{number}" for number in range(10)))
    worker = await workers.start(topic, long_delay="100ms")
    one, other = client(worker, "one"), client(worker, "other")
    await nack_all(one, await one.take(10), delay_ms=2500)
    await kafka.delete_below(topic, {0: 4})

    again = await other.take(6)

    assert [message.offset for message in again] == list(range(4, 10))
    await other.ack(*(message.lease for message in again))
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 10}))
    assert "4 delayed messages were deleted from the log meanwhile" in worker.text()


async def test_one_that_rests_can_be_acked_late_and_does_not_come_again(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "done after all", "not done")
    worker = await workers.start(topic, long_delay="100ms")
    one = client(worker, "one")
    done, not_done = await one.take(2)
    await nack_all(one, [done, not_done], delay_ms=1500)
    assert await has_delayed(worker, 2)
    assert (await one.ack(done.lease)).results == {done.lease: "late"}
    assert (await client(worker, "other").pull(wait_ms=5000)).one.value == "not done"


async def test_after_kill_9_a_message_that_rested_comes_with_its_count(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    """How long it was to rest is forgotten: it comes early, which a delay is no promise against."""
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "rests")
    worker = await workers.start(topic)
    one = client(worker, "one")
    await nack_all(one, [(await one.pull()).one], delay_ms=3_600_000)
    await eventually(lambda: has_row_of_the_count(worker))
    worker.kill9()

    worker = await workers.start(topic)
    message = (await client(worker, "two").pull(wait_ms=5000)).one
    assert (message.value, message.delivery_count) == ("rests", 2)


async def has_row_of_the_count(worker: Worker) -> bool:
    """It is written within a second although nothing is settled; no row has been written since the start but for it."""
    return bool((await worker.partitions())[0]["row_bytes"] > 0)


async def test_the_backoff_grows_with_each_failure(kafka: Kafka, workers: Workers, client: MakeClient) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "fails")
    worker = await workers.start(topic, backoff_first="400ms", backoff_jitter="0")
    clients = [client(worker, name) for name in "ABAB"]
    rested = []
    nacked = monotonic()
    for count, one in enumerate(clients, 1):
        message = (await one.pull(wait_ms=8000)).one
        rested.append(monotonic() - nacked)
        assert message.delivery_count == count
        # The rest begins when the worker has the nack, which is before its answer is here.
        nacked = monotonic()
        assert (await one.nack(message.lease)).nacked == 1
    # None after the first failure, then the first step, then twice that.
    assert rested[1] < 0.4
    assert 0.4 <= rested[2] < 0.8
    assert rested[3] >= 0.8
