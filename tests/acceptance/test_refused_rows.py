"""Kafka refuses a ledger row for a reason that somebody mends: the worker goes on without being started again."""

from __future__ import annotations

from collections.abc import Iterable

from support.clients import Client, Delivery, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Workers

#: Bytes; no row is so small.
NOTHING = "10"
USUAL = "1048588"
#: Messages of each partition.
EACH = 20


async def one_is_refused(client: Client, messages: Iterable[Delivery]) -> bool:
    """Ack these one by one, up to the first whose row is refused: a broker may go by the old size for a moment."""
    for message in messages:
        answer = await client.ack(message.lease)
        if answer.results == {message.lease: "retry"}:
            return True
        assert answer.acked == 1, answer
    return False


async def test_after_a_row_that_was_too_large_for_a_while_rows_of_all_partitions_are_taken_again(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(2)
    worker = await workers.start(topic, drain="0s")
    changelog = f"fanout_{worker.id}_{topic}-ledgers-changelog"
    for partition in (0, 1):
        await kafka.produce(topic, *map(str, range(EACH)), partition=partition)
    one = client(worker, "one")
    held = await one.take(2 * EACH, ack_wait_ms=600_000)
    first, rest = held[:2], held[2:]
    assert (await one.ack(*(message.lease for message in first))).acked == 2, "the broker knows the producer"

    await kafka.change_setting(changelog, "max.message.bytes", NOTHING)
    for partition in (0, 1):
        assert await one_is_refused(one, [message for message in rest if message.partition == partition])
    await kafka.change_setting(changelog, "max.message.bytes", USUAL)

    leases = [message.lease for message in rest]

    async def are_settled() -> bool:
        return (await one.ack(*leases)).results == dict.fromkeys(leases, "already_settled")

    await eventually(are_settled)
    await eventually(lambda: kafka.has_committed(worker.id, topic, {0: EACH, 1: EACH}))
    assert worker.text().count("Kafka takes no ledger row") == 1
    assert worker.text().count("Kafka takes ledger rows again") == 1
