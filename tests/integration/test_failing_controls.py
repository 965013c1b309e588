"""Faust as it comes, where fanout replaces it: the losses and hangs that other tests look for happen and are seen."""

from __future__ import annotations

from functools import partial

import pytest

from support.book import Book
from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Workers

pytestmark = pytest.mark.long

ID = "service"


async def test_fausts_own_commits_lose_what_was_not_acked_on_a_first_start(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    book = Book(await kafka.produce(topic, *(f"v{number}" for number in range(6))))
    worker = await workers.start(topic, faults=["stock-commits"])
    one = client(worker, "one")
    last = (await one.take(6))[5]
    book.acking(last)
    await one.ack(last.lease)
    await eventually(lambda: kafka.has_committed(ID, topic, {0: 6}))
    with pytest.raises(AssertionError, match=r"committed 6, but \[0, 1, 2, 3, 4\] are not settled"):
        book.check(await kafka.committed(ID, topic))

    # And it is a loss: whoever goes on from there believes the group.
    worker.kill9()
    again = client(await workers.start(topic), "again")
    assert (await again.pull(wait_ms=1000)).messages == []


async def test_fausts_own_commits_pass_the_message_at_the_committed_offset(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    book = Book(await kafka.produce(topic, *(f"v{number}" for number in range(12))))
    worker = await workers.start(topic, faults=["stock-commits"])
    one = client(worker, "one")
    messages = await one.take(12)
    for acked, expected in ((messages[:10], 10), (messages[11:], 12)):
        book.acking(*acked)
        await one.ack(*(message.lease for message in acked))
        await eventually(partial(kafka.has_committed, ID, topic, {0: expected}))
    with pytest.raises(AssertionError, match=r"committed 12, but \[10\] are not settled"):
        book.check(await kafka.committed(ID, topic))


async def test_fausts_own_wait_for_acks_hangs_a_worker_that_is_to_stop(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "held")
    worker = await workers.start(topic, faults=["wait-empty"], drain="0s")
    await client(worker, "one").pull()
    with pytest.raises(AssertionError, match="not true within 10 s"):
        await worker.terminate(10.0)
    worker.kill9()
