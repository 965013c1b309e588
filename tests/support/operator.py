"""What an operator does to topics and groups behind a worker's back."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from support.eventually import eventually


async def make_anew(brokers: str, topic: str, partitions: int, *, copies: int = 1, **config: str) -> None:
    """Delete a topic and make another one of its name, with settings as `Kafka.new_topic` takes them."""
    configs = {name.replace("_", "."): value for name, value in config.items()}
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)

    async def is_gone() -> bool:
        (described,) = await admin.describe_topics([topic])
        return bool(described["error_code"] == UnknownTopicOrPartitionError.errno)

    async def is_made() -> bool:
        made = await admin.create_topics([NewTopic(topic, partitions, copies, topic_configs=configs)])
        return bool(made.topic_errors[0][1] == 0)  # as long as the old one is being deleted it is not

    async def is_led() -> bool:
        (described,) = await admin.describe_topics([topic])
        return described["error_code"] == 0 and all(part["leader"] >= 0 for part in described["partitions"])

    await admin.start()
    try:
        await admin.delete_topics([topic])
        # A broker hears of it later than the controller, and takes what is produced until then into the old log.
        await eventually(is_gone)
        await eventually(is_made)
        await eventually(is_led)
    finally:
        await admin.close()


async def set_group_offset(brokers: str, group: str, topic: str, offsets: dict[int, int]) -> None:
    """What ``kafka-consumer-groups.sh --reset-offsets`` does; the group must have no member."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        tps = {TopicPartition(topic, partition): offset for partition, offset in offsets.items()}
        consumer.assign(list(tps))
        await consumer.commit(tps)
    finally:
        await consumer.stop()
