"""The topics a worker needs: found, checked and made before anything else starts.

Left to itself Faust would make the changelog with the wrong number of partitions, and a broker that creates topics by
itself would give it a policy under which it forgets. So both are made here, with everything set on purpose.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, for_code

from fanout_app.core.errors import StartError

logger = logging.getLogger("fanout.kafka.topics")

_UNKNOWN_TOPIC = 3
_TOPIC_EXISTS = 36


@dataclass(frozen=True, slots=True)
class Source:
    """The topic whose messages are handed out."""

    topic: str
    partitions: int
    replication: int
    min_insync_replicas: str


async def find_source(admin: AIOKafkaAdminClient, topic: str, brokers: str) -> Source:
    """Look the source topic up.

    Raises:
        StartError: there is no such topic, or it may not be read.
    """
    (description,) = await admin.describe_topics([topic])
    if description["error_code"] == _UNKNOWN_TOPIC:
        raise StartError(
            f"topic {topic} does not exist on {brokers}; create it with: "
            f"kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 4"
        )
    if description["error_code"]:
        raise StartError(f"topic {topic} cannot be described: {for_code(description['error_code']).__name__}")
    partitions = description["partitions"]
    config = await _config(admin, topic)
    return Source(
        topic,
        len(partitions),
        max(len(partition["replicas"]) for partition in partitions),
        config.get("min.insync.replicas", "1"),
    )


def changelog_config(source: Source) -> dict[str, str]:
    """Small segments and eager cleaning: what a recovery reads is a few rows a partition, so keep it near that."""
    return {
        "cleanup.policy": "compact",
        "min.insync.replicas": source.min_insync_replicas,
        "segment.bytes": str(16 << 20),
        "min.cleanable.dirty.ratio": "0.1",
    }


def board_config(source: Source) -> dict[str, str]:
    return {"cleanup.policy": "compact", "min.insync.replicas": source.min_insync_replicas}


def parked_config(source: Source) -> dict[str, str]:
    """Parked messages stay until somebody redrives or deletes them."""
    return {"cleanup.policy": "delete", "retention.ms": "-1", "min.insync.replicas": source.min_insync_replicas}


async def ensure(
    admin: AIOKafkaAdminClient, name: str, partitions: int, source: Source, config: dict[str, str], brokers: str
) -> None:
    """Make a topic of ours, or check the one that is there.

    Raises:
        StartError: it cannot be made, or its partitions or policy would lose what is written to it.
    """
    response = await admin.create_topics([NewTopic(name, partitions, source.replication, topic_configs=config)])
    _, code, reason = response.topic_errors[0]
    if code == 0:
        logger.info("created topic %s with %d partitions", name, partitions)
        return
    if code != _TOPIC_EXISTS:
        raise StartError(_cannot_create(name, partitions, source, config, brokers, for_code(code), reason))
    (description,) = await admin.describe_topics([name])
    if len(description["partitions"]) != partitions:
        raise StartError(
            f"topic {name} has {len(description['partitions'])} partitions and must have {partitions}, as many as "
            f"{source.topic}; raise it with: kafka-topics.sh --bootstrap-server {brokers} --alter --topic {name} "
            f"--partitions {partitions}"
        )
    found = await _config(admin, name)
    policy = config["cleanup.policy"]
    if found.get("cleanup.policy", policy) != policy:
        raise StartError(
            f"topic {name} has cleanup.policy={found.get('cleanup.policy')} and would lose what is written to it; mend "
            f"it with: kafka-configs.sh --bootstrap-server {brokers} --alter --topic {name} "
            f"--add-config cleanup.policy={policy}"
        )
    for key, value in config.items():
        if found.get(key) != value:
            logger.warning("topic %s has %s=%s, fanout would set %s", name, key, found.get(key), value)


def _cannot_create(
    name: str, partitions: int, source: Source, config: dict[str, str], brokers: str, error: type, reason: str | None
) -> str:
    settings = " ".join(f"--config {key}={value}" for key, value in config.items())
    rights = " (no right to create topics)" if issubclass(error, TopicAuthorizationFailedError) else ""
    return (
        f"topic {name} cannot be created{rights}: {reason or error.__name__}; create it with: kafka-topics.sh "
        f"--bootstrap-server {brokers} --create --topic {name} --partitions {partitions} "
        f"--replication-factor {source.replication} {settings}"
    )


async def _config(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    try:
        responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    except KafkaError as error:
        logger.warning("the settings of topic %s cannot be read: %r", topic, error)
        return {}
    entries: list[Any] = responses[0].resources[0][4]
    return {entry[0]: entry[1] for entry in entries}
