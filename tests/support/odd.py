"""Writes records that an ordinary producer would not: keys, values and headers of any bytes, header names included."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NotLeaderForPartitionError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from support.eventually import eventually

_TIMEOUT_MS = 10_000
_TIMESTAMP = 1_700_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """A record to write. Header names are bytes, as they are in Kafka."""

    key: bytes | None = None
    value: bytes | None = b"x"
    headers: Sequence[tuple[bytes, bytes | None]] = ()
    timestamp: int = _TIMESTAMP


class _Name(str):
    """A header name that is encoded to the bytes it was made of."""

    raw: bytes

    def __new__(cls, name: bytes) -> _Name:
        one = super().__new__(cls, name.decode(errors="replace"))
        one.raw = name
        return one

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


def batch_of(records: Sequence[Odd], *, offset: int = 0, producer: int = -1, codec: int = 0) -> bytes:
    """One batch as it stands in a log, at this offset.

    Args:
        producer: its number, if the batch is part of a transaction.
        codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    """
    builder = _DefaultRecordBatchBuilderPy(2, codec, int(producer >= 0), producer, 0, 0, 1 << 30)
    for delta, record in enumerate(records):
        headers: list[tuple[str, bytes | None]] = [(_Name(name), value) for name, value in record.headers]
        builder.append(delta, record.timestamp, record.key, record.value, headers)
    batch = builder.build()
    # The broker sets this; no checksum covers it.
    struct.pack_into(">q", batch, 0, offset)
    return bytes(batch)


async def write_batch(brokers: str, topic: str, records: Sequence[Odd], *, partition: int = 0) -> int:
    """Write these as one batch, bytes as they are; the offset of the first."""
    client = AIOKafkaClient(bootstrap_servers=brokers)
    request = ProduceRequest(None, -1, _TIMEOUT_MS, [(topic, [(partition, batch_of(records))])])
    offset = 0

    async def is_written() -> bool:
        nonlocal offset
        node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        ((_, ((_, code, offset, *_rest),)),) = (await client.send(node, request)).topics
        if code and for_code(code) is not NotLeaderForPartitionError:  # a topic that has just been made
            raise for_code(code)
        return not code

    try:
        await client.bootstrap()
        await client.set_topics([topic])
        await eventually(is_written)
    finally:
        await client.close()
    return offset


async def write_compressed(
    brokers: str, topic: str, codec: str, values: Sequence[bytes], *, partition: int = 0
) -> list[int]:
    """Write these with a producer that compresses; their offsets."""
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers, acks="all", compression_type=codec, linger_ms=50, max_request_size=32 << 20
    )
    await producer.start()
    try:
        sent = [await producer.send(topic, value, partition=partition) for value in values]
        return [(await future).offset for future in sent]
    finally:
        await producer.stop()
