"""Where in a log a seek goes, asked of a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from fanout_app.core.requests import SeekTo, Timestamp
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.log_client import LogClient
from fanout_app.kafka.source import ConsumerSource
from support.kafka import Kafka


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def source(kafka: Kafka) -> AsyncIterator[ConsumerSource]:
    """Partition 0 holds offsets 2 to 9, one a second from 1002 s on; partition 1 is empty; 2 has an open end."""
    topic = await kafka.new_topic(3)
    for number in range(10):
        await kafka.produce(topic, "x", timestamp_ms=(1000 + number) * 1000)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.brokers)
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=2)})
    await admin.close()
    log = LogClient(Brokers((kafka.brokers,)), topic)
    await kafka.produce(topic, "before", partition=2)
    async with kafka.transaction(topic) as transaction:
        await transaction.produce("open", "open", partition=2)
        yield ConsumerSource(None, log)
    await log.stop()


@pytest.mark.parametrize(
    ("to", "offsets"),
    [
        ("earliest", {0: 2, 1: 0, 2: 0}),
        ("latest", {0: 10, 1: 0, 2: 3}),
        (5, {0: 5, 1: 0, 2: 3}),
        (0, {0: 2, 1: 0, 2: 0}),
        (11, {0: 10, 1: 0, 2: 3}),
        (Timestamp(1_004_500), {0: 5, 1: 0, 2: 0}),
        (Timestamp(0), {0: 2, 1: 0, 2: 0}),
        (Timestamp(1_009_001), {0: 10, 1: 0, 2: 0}),
        (Timestamp(1 << 45), {0: 10, 1: 0, 2: 3}),
    ],
    ids=str,
)
async def test_a_place_to_seek_to_is_inside_the_log_as_it_is_now(
    to: SeekTo, offsets: dict[int, int], source: ConsumerSource
) -> None:
    assert await source.offsets_at([0, 1, 2], to) == offsets
    assert await source.offsets_at([2], to) == {2: offsets[2]}
