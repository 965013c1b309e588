"""The other side of the topic: making topics, writing to them, and reading back what the group has committed."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from support.eventually import eventually
from support.transactions import start_transactional

#: Bytes; what a topic takes is its own matter.
_LARGEST = 32 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was written, and where."""

    partition: int
    offset: int
    value: str


@dataclass(slots=True)
class Transaction:
    """An open transaction; `records` is what was written in it so far."""

    producer: Any
    topic: str
    records: list[Record] = field(default_factory=list)

    async def produce(self, *values: str, partition: int = 0) -> None:
        for value in values:
            sent = await self.producer.send_and_wait(self.topic, value.encode(), partition=partition)
            self.records.append(Record(partition, sent.offset, value))


class Kafka:
    """One broker, as a producer and an operator see it."""

    #: There once it has been started.
    _transactional: Any

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self._producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", max_request_size=_LARGEST)
        self._admin = AIOKafkaAdminClient(bootstrap_servers=brokers)

    async def __aenter__(self) -> Kafka:
        async with AsyncExitStack() as started:
            started.push_async_callback(self._admin.close)
            await eventually(self._knows_a_broker)
            started.push_async_callback(self._producer.stop)
            await self._producer.start()
            self._transactional = await start_transactional(self.brokers)
            started.push_async_callback(self._transactional.stop)
            await eventually(self._has_coordinator)
            self._started = started.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._started.aclose()

    async def _knows_a_broker(self) -> bool:
        """One that was paused is none to its cluster for a moment; the clients started then break."""
        await self._admin.start()
        await self._admin._client.force_metadata_update()
        return bool(self._admin._client.cluster.brokers())

    async def _has_coordinator(self) -> bool:
        """The first question for one makes the broker create its topic of offsets, which takes a moment."""
        try:
            await self._admin.find_coordinator("anyone")
        except KafkaError:
            return False
        return True

    # Topics ----------------------------------------------------------------------------------------------------------

    async def new_topic(self, partitions: int = 1, *, copies: int = 1, **config: str) -> str:
        """Make a topic with a name of its own. ``cleanup_policy="compact"`` sets ``cleanup.policy``, and so on."""
        topic = f"topic-{secrets.token_hex(4)}"
        await self.make_topic(topic, partitions, copies=copies, **config)
        return topic

    async def make_topic(self, topic: str, partitions: int, *, copies: int = 1, **config: str) -> None:
        """Make a topic of this name, as `new_topic` does."""
        configs = {name.replace("_", "."): value for name, value in config.items()}
        created = await self._admin.create_topics([NewTopic(topic, partitions, copies, topic_configs=configs)])
        assert created.topic_errors[0][1] == 0, created
        await eventually(lambda: self._is_led(topic))

    async def add_partitions(self, topic: str, partitions: int) -> None:
        """So many it has from now on."""
        await self._admin.create_partitions({topic: NewPartitions(partitions)})
        await eventually(lambda: self._has(topic, partitions))
        await self._producer.client.force_metadata_update()

    async def _has(self, topic: str, partitions: int) -> bool:
        (described,) = await self._admin.describe_topics([topic])
        leaders = [part["leader"] for part in described["partitions"]]
        return len(leaders) == partitions and min(leaders) >= 0

    async def partitions(self, topic: str) -> int:
        """How many it has."""
        (described,) = await self._admin.describe_topics([topic])
        return len(described["partitions"])

    async def delete_topic(self, topic: str) -> None:
        deleted = await self._admin.delete_topics([topic])
        assert deleted.topic_error_codes[0][1] == 0, deleted

    async def _is_led(self, topic: str) -> bool:
        (described,) = await self._admin.describe_topics([topic])
        return described["error_code"] == 0 and all(part["leader"] >= 0 for part in described["partitions"])

    async def leaders(self, topic: str) -> dict[int, int]:
        """Partition -> the number of the broker that leads it."""
        (described,) = await self._admin.describe_topics([topic])
        return {part["partition"]: part["leader"] for part in described["partitions"]}

    async def copies(self, topic: str) -> set[int]:
        """On how many brokers each partition is kept."""
        (described,) = await self._admin.describe_topics([topic])
        return {len(part["replicas"]) for part in described["partitions"]}

    async def setting(self, topic: str, name: str) -> str:
        """The value of a setting of this topic: ``setting(topic, "min.insync.replicas")``."""
        (answer,) = await self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        entries = answer.resources[0][4]
        return next(str(entry[1]) for entry in entries if entry[0] == name)

    async def change_setting(self, topic: str, name: str, value: str) -> None:
        """Give a setting of this topic another value: all others are what a broker has by itself from then on.

        The broker knows of it then, and goes by it a moment later.
        """
        (answer,) = await self._admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])
        assert answer.resources[0][0] == 0, answer

        async def is_known() -> bool:
            return await self.setting(topic, name) == value

        await eventually(is_known)

    async def delete_below(self, topic: str, offsets: dict[int, int]) -> None:
        """Do at once what retention would do some day: these logs begin at these offsets from now on."""
        await self._admin.delete_records(
            {TopicPartition(topic, partition): RecordsToDelete(offset) for partition, offset in offsets.items()}
        )

    async def ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Where the logs end; behind the marker of a transaction, if the last thing in a log is one."""
        async with self._consumer(isolation_level="read_uncommitted") as consumer:
            ends = await consumer.end_offsets([TopicPartition(topic, number) for number in partitions])
        return {tp.partition: offset for tp, offset in ends.items()}

    async def stable_ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """The same, before the first transaction that is open."""
        async with self._consumer(isolation_level="read_committed") as consumer:
            ends = await consumer.end_offsets([TopicPartition(topic, number) for number in partitions])
        return {tp.partition: offset for tp, offset in ends.items()}

    async def beginnings(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Where the logs begin."""
        async with self._consumer() as consumer:
            begins = await consumer.beginning_offsets([TopicPartition(topic, number) for number in partitions])
        return {tp.partition: offset for tp, offset in begins.items()}

    async def offsets_in(self, topic: str, partition: int = 0) -> list[int]:
        """The offsets that a reader of the log finds, aborted records included."""
        return [record.offset for record in await self.records_in(topic, partition)]

    async def records_in(self, topic: str, partition: int = 0) -> list[Any]:
        """The records that a reader of the log finds, aborted ones included, as aiokafka has them."""
        tp = TopicPartition(topic, partition)
        records: list[Any] = []
        async with self._consumer(isolation_level="read_uncommitted") as consumer:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            while await consumer.position(tp) < end:
                records += (await consumer.getmany(tp, timeout_ms=100)).get(tp, [])
        return records

    @asynccontextmanager
    async def _consumer(self, **settings: Any) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.brokers, group_id=None, enable_auto_commit=False, **settings)
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    # Writing ---------------------------------------------------------------------------------------------------------

    async def produce(
        self,
        topic: str,
        *values: str,
        partition: int = 0,
        keys: Sequence[str] | None = None,
        timestamp_ms: int | None = None,
    ) -> list[Record]:
        """Write to exactly this partition and wait until Kafka has all of it."""
        futures = []
        for index, value in enumerate(values):
            key = keys[index].encode() if keys is not None else None
            futures.append(
                await self._producer.send(
                    topic, value.encode(), key=key, partition=partition, timestamp_ms=timestamp_ms
                )
            )
        sent = [await future for future in futures]
        return [Record(partition, one.offset, value) for one, value in zip(sent, values, strict=True)]

    async def write(
        self, topic: str, *, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Write one record of any bytes to partition 0, and wait until Kafka has it."""
        await self._producer.send_and_wait(topic, value, key=key, headers=list(headers), partition=0)

    @asynccontextmanager
    async def transaction(self, topic: str, *, abort: bool = False) -> AsyncIterator[Transaction]:
        """Committed at the end, or aborted: both leave a marker in each partition written to, which takes an offset.

        Kafka writes the markers a moment after it has answered; this returns when they are in the log.
        """
        producer = self._transactional
        await producer.begin_transaction()
        transaction = Transaction(producer, topic)
        try:
            yield transaction
        except BaseException:
            await producer.abort_transaction()
            raise
        await (producer.abort_transaction() if abort else producer.commit_transaction())
        last = {record.partition: record.offset for record in transaction.records}
        await eventually(lambda: self._is_ended(topic, last))

    async def _is_ended(self, topic: str, last: dict[int, int]) -> bool:
        async with self._consumer(isolation_level="read_committed") as consumer:
            stable = await consumer.end_offsets([TopicPartition(topic, partition) for partition in last])
        return all(stable[TopicPartition(topic, partition)] > offset for partition, offset in last.items())

    # The consumer group ----------------------------------------------------------------------------------------------

    async def committed(self, id: str, topic: str) -> dict[int, int]:
        """What the group of this id has committed, by partition; nothing of a partition it has not committed yet."""
        group = f"fanout_{id}_{topic}"
        found = await self._admin.list_consumer_group_offsets(group)
        return {tp.partition: meta.offset for tp, meta in found.items() if tp.topic == topic and meta.offset >= 0}

    async def has_committed(self, id: str, topic: str, offsets: dict[int, int]) -> bool:
        """For `eventually`: whether these partitions stand at these offsets.

        Raises:
            AssertionError: they do not.
        """
        try:
            committed = await self.committed(id, topic)
        except GroupCoordinatorNotAvailableError as error:
            raise AssertionError("a broker that was paused coordinates nothing for a moment") from error
        assert {partition: committed.get(partition) for partition in offsets} == offsets
        return True

    async def coordinator(self, id: str, topic: str) -> int:
        """The number of the broker that coordinates the group of this id."""
        return int(await self._admin.find_coordinator(f"fanout_{id}_{topic}"))

    async def members(self, id: str, topic: str) -> int:
        """How many members the group of this id has."""
        (described,) = await self._admin.describe_consumer_groups([f"fanout_{id}_{topic}"])
        ((_code, _group, _state, _kind, _protocol, members, *_rest),) = described.groups
        return len(members)
