"""The second reader against a real broker: it finds what is there, and says missing only of what is gone."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from fanout_app.kafka import log_client
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.log_reader import LogReader
from fanout_app.ports import SourceError
from support.eventually import eventually
from support.kafka import Kafka
from support.odd import Odd, write_batch


class Readers:
    """Makes readers, and stops them with the test."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self.all: list[LogReader] = []

    def __call__(self, topic: str, isolation_level: str = "read_committed") -> LogReader:
        self.all.append(LogReader(Brokers((self._brokers,)), topic, isolation_level))
        return self.all[-1]


@pytest_asyncio.fixture
async def reader(kafka: Kafka) -> AsyncIterator[Readers]:
    readers = Readers(kafka.brokers)
    yield readers
    for one in readers.all:
        await one.stop()


async def test_records_near_and_far_come_with_their_bytes(kafka: Kafka, reader: Readers) -> None:
    topic = await kafka.new_topic(2)
    await kafka.produce(topic, *(f"value {number}" for number in range(5000)), partition=1)
    wanted = [0, 1, 2, 700, 1500, 1502, 4998, 4999]
    found = await reader(topic).read(1, wanted)
    assert {offset: message.value for offset, message in found.items()} == {
        offset: f"value {offset}".encode() for offset in wanted
    }


async def test_far_offsets_are_reached_by_seeking_and_not_by_reading_what_lies_between(
    kafka: Kafka, reader: Readers
) -> None:
    topic = await kafka.new_topic(1)
    for _ in range(4):
        await kafka.produce(topic, *["x" * 100] * 25_000)
    one = reader(topic)
    await one.read(0, [0])
    asked = []
    fetch = one._client.fetch

    async def noting(at: dict[int, int], max_bytes: int, isolation: int) -> object:
        asked.append((at[0], max_bytes))
        return await fetch(at, max_bytes, isolation)

    one._client.fetch = noting  # type: ignore[assignment, method-assign]
    far = list(range(7, 100_000, 5000))
    assert sorted(await one.read(0, far)) == far
    assert [offset for offset, _ in asked] == far
    assert sum(size for _, size in asked) < 500_000, "of ten million bytes"


async def test_an_offset_beyond_the_end_or_below_the_start_is_missing(kafka: Kafka, reader: Readers) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *"abcdefgh")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.brokers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=3)})
    finally:
        await admin.close()
    one = reader(topic)
    assert sorted(await one.read(0, [0, 2, 3, 7, 8, 1000])) == [3, 7]
    assert await one.read(0, [500]) == {}
    assert await one.read(0, []) == {}
    assert await one.bounds([0]) == {0: (3, 8)}


async def test_what_compaction_took_is_missing_and_its_neighbours_are_found(kafka: Kafka, reader: Readers) -> None:
    topic = await kafka.new_topic(
        1, cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01", max_compaction_lag_ms="100"
    )
    await kafka.produce(topic, *"abcdef", keys=["k", "k", "other", "k", "k", "last"])

    async def is_compacted() -> bool:
        # The last segment is never compacted, so something must begin new ones.
        await kafka.produce(topic, "tail", keys=["tail"])
        return (await kafka.offsets_in(topic))[:3] == [2, 4, 5]

    await eventually(is_compacted, 30, every=0.2)
    found = await reader(topic).read(0, [0, 1, 2, 3, 4, 5])
    assert {offset: message.value for offset, message in found.items()} == {2: b"c", 4: b"e", 5: b"f"}


async def test_aborted_records_are_missing_unless_uncommitted_ones_are_read(kafka: Kafka, reader: Readers) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "plain")
    async with kafka.transaction(topic, abort=True) as aborted:
        await aborted.produce("no", "never")
    async with kafka.transaction(topic) as committed:
        await committed.produce("yes")
    offsets = [0, *(record.offset for record in (*aborted.records, *committed.records))]
    markers = [aborted.records[-1].offset + 1, committed.records[-1].offset + 1]
    everything = sorted(offsets + markers)
    found = await reader(topic).read(0, everything)
    assert [found[offset].value for offset in sorted(found)] == [b"plain", b"yes"]
    found = await reader(topic, "read_uncommitted").read(0, everything)
    assert [found[offset].value for offset in sorted(found)] == [b"plain", b"no", b"never", b"yes"]


async def test_the_end_is_the_high_watermark_also_while_a_transaction_is_open(kafka: Kafka, reader: Readers) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "before")
    async with kafka.transaction(topic) as open_one:
        await open_one.produce("open", "open too")
        await kafka.produce(topic, "behind it")
        assert await reader(topic).bounds([0]) == {0: (0, 4)}
        assert await reader(topic).read_each({0: [0, 1]}) == {(0, 0): await _at(reader(topic), 0), (0, 1): None}


async def _at(reader: LogReader, offset: int) -> object:
    return (await reader.read(0, [offset]))[offset]


async def test_a_record_of_eight_megabytes_is_read_beside_others(kafka: Kafka, reader: Readers) -> None:
    topic = await kafka.new_topic(3, max_message_bytes=str(9 << 20))
    huge = bytes(range(256)) * (8 << 12)
    for partition in range(3):
        await write_batch(kafka.brokers, topic, [Odd(value=b"small")], partition=partition)
        await write_batch(kafka.brokers, topic, [Odd(value=huge)], partition=partition)
    one = reader(topic)
    assert (await one.read(2, [0, 1]))[1].value == huge
    each = await one.read_each({partition: [1, 0] for partition in range(3)})
    assert {at: message is not None and message.value == huge for at, message in each.items()} == {
        (partition, offset): offset == 1 for partition in range(3) for offset in (0, 1)
    }


async def test_a_record_of_each_of_100_partitions_is_read_in_well_under_a_second(kafka: Kafka, reader: Readers) -> None:
    topic = await kafka.new_topic(100)
    for partition in range(100):
        await kafka.produce(topic, *(f"{partition}/{number}" for number in range(3)), partition=partition)
    one = reader(topic)
    await one.bounds([0])
    began = time.monotonic()
    each = await one.read_each({partition: [1] for partition in range(100)})
    assert time.monotonic() - began < 1.0
    assert {at: message and message.value for at, message in each.items()} == {
        (partition, 1): f"{partition}/1".encode() for partition in range(100)
    }


async def test_records_in_large_batches_of_many_partitions_do_not_wait_for_one_another(
    kafka: Kafka, reader: Readers
) -> None:
    topic = await kafka.new_topic(30)
    for partition in range(30):
        await write_batch(kafka.brokers, topic, [Odd(value=b"x" * 40_000)] * 3, partition=partition)
    one = reader(topic)
    await one.bounds([0])
    began = time.monotonic()
    each = await one.read_each({partition: [2] for partition in range(30)})
    assert time.monotonic() - began < 4.0
    assert len([message for message in each.values() if message is not None]) == 30


async def test_a_header_name_that_is_not_utf8_is_shown_escaped(kafka: Kafka, reader: Readers) -> None:
    topic = await kafka.new_topic(1)
    bad = Odd(value=b"bad", headers=[(b"caf\xe9", b"1"), (b"plain", None), (b"plain", b"2")])
    await write_batch(kafka.brokers, topic, [Odd(value=b"first"), bad, Odd(value=b"last", headers=[(b"h", b"v")])])
    found = await reader(topic).read(0, [0, 1, 2])
    assert [found[offset].value for offset in range(3)] == [b"first", b"bad", b"last"]
    assert list(found[1].headers) == [("caf\\xe9", b"1"), ("plain", None), ("plain", b"2")]
    assert list(found[2].headers) == [("h", b"v")]


async def test_a_reader_leaves_when_nobody_asks_and_comes_back_when_somebody_does(
    kafka: Kafka, reader: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_client, "_IDLE", 0.1)
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "x")
    one = reader(topic)
    for _ in range(2):
        assert sorted(await one.read(0, [0])) == [0]
        assert one._client._client is not None
        await eventually(lambda: one._client._client is None)
    await one.stop()
    with pytest.raises(SourceError, match="stopping"):
        await one.read(0, [0])


async def test_a_kafka_that_does_not_answer_is_an_error_in_time(
    reader: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_client, "_TIMEOUT", 0.5)
    # Connections are made, and nobody ever reads them.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        one = LogReader(Brokers((f"127.0.0.1:{silent.getsockname()[1]}",)), "topic")
        reader.all.append(one)
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"no answer within 0\.5 s"):
            await one.read(0, [0])
        assert time.monotonic() - began < 5.0
