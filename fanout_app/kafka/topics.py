"""The topics a worker needs: found, checked and made before anything else starts.

Left to itself Faust would make the changelog with the wrong number of partitions, and a broker that creates topics by
itself would give it a policy under which it forgets. So both are made here, with everything set on purpose.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    LeaderNotAvailableError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from fanout_app.core.errors import StartError, UnansweredError
from fanout_app.kafka.growth import raise_partitions
from fanout_app.options import Options

logger = logging.getLogger("fanout.kafka.topics")

#: Kafka's own, for a source whose settings may not be read.
_DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
_LEAST_MAX_PARKED = 16 << 20
#: Of all topics of ours: the broker says what time it is. It refuses what a worker has dated an hour ahead of it
#: (``message.timestamp.after.max.ms``), and after that all else of an idempotent producer.
_DATED_BY_THE_BROKER = {"message.timestamp.type": "LogAppendTime"}
#: How often, and after which pause in seconds, a topic that somebody else has just made is looked for.
_LOOKS = 20
_LOOK_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Source:
    """The topic whose messages are handed out."""

    topic: str
    partitions: int
    replication: int
    min_insync_replicas: str
    #: Bytes of the largest batch that it takes.
    max_message_bytes: int
    #: The broker that leads partition 0, below 0 if none does at the moment.
    leader: int


@dataclass(frozen=True, slots=True, eq=False)
class Ours:
    """A topic that fanout keeps for itself."""

    name: str
    partitions: int
    config: dict[str, str]
    #: Bytes of the largest message that it must take.
    least_message_bytes: int = 0
    #: It gets more partitions where it has too few.
    grows: bool = False


async def find_source(admin: AIOKafkaAdminClient, topic: str, brokers: str) -> Source:
    """Look the source topic up.

    Raises:
        StartError: there is no such topic, or it may not be read.
    """
    partitions = await _partitions(admin, topic, brokers)
    if partitions is None:
        raise StartError(
            f"topic {topic} does not exist on {brokers}; create it with: "
            f"kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 4"
        )
    config = await _config(admin, topic) or {}
    return Source(
        topic,
        len(partitions),
        max(len(partition["replicas"]) for partition in partitions),
        config.get("min.insync.replicas", "1"),
        int(config.get("max.message.bytes", _DEFAULT_MAX_MESSAGE_BYTES)),
        min(partitions, key=lambda partition: partition["partition"])["leader"],
    )


async def check_dead_letters(admin: AIOKafkaAdminClient, topic: str, brokers: str) -> None:
    """Look the dead-letter topic up. It belongs to its readers, so it is not made here.

    Raises:
        StartError: there is no such topic.
    """
    if await _partitions(admin, topic, brokers) is None:
        raise StartError(
            f"--dead-letter-topic {topic} does not exist on {brokers}; create it with: "
            f"kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 1"
        )


async def _partitions(admin: AIOKafkaAdminClient, topic: str, brokers: str) -> list[Any] | None:
    """The partitions of a topic, None if there is no such topic. Asking must not make it, as plain metadata may."""
    response = await admin._send_request(MetadataRequest([topic], allow_auto_topic_creation=False))
    (description,) = response.to_object()["topics"]
    code = description["error_code"]
    if code == UnknownTopicOrPartitionError.errno:
        return None
    if code in (TopicAuthorizationFailedError.errno, ClusterAuthorizationFailedError.errno):
        raise StartError(
            f"topic {topic} may not be looked at by this user; allow it with: kafka-acls.sh --bootstrap-server "
            f"{brokers} --add --allow-principal User:NAME --operation Describe --operation Read --topic {topic}"
        )
    if code not in (0, LeaderNotAvailableError.errno):
        raise StartError(f"topic {topic} on {brokers} cannot be looked at: {for_code(code).__name__}")
    return list(description["partitions"])


def changelog_config(source: Source, max_row_bytes: int) -> dict[str, str]:
    """Small segments and eager cleaning: what a recovery reads is a few rows a partition, so keep it near that.

    A row may pass ``--max-row-bytes`` by what was fetched before that was seen, which is well under 1 MiB.
    """
    return {
        "cleanup.policy": "compact",
        **_DATED_BY_THE_BROKER,
        "min.insync.replicas": source.min_insync_replicas,
        "max.message.bytes": str(max(_DEFAULT_MAX_MESSAGE_BYTES, max_row_bytes + (1 << 20))),
        "segment.bytes": str(16 << 20),
        "min.cleanable.dirty.ratio": "0.1",
    }


def board_config(source: Source) -> dict[str, str]:
    """Every worker writes it twice a second and reads all of it at its start, so what is outdated has to go soon.

    Only closed segments are compacted: 1 MiB, the smallest that Kafka takes, is some 3000 heartbeats.
    """
    return {
        "cleanup.policy": "compact",
        **_DATED_BY_THE_BROKER,
        "min.insync.replicas": source.min_insync_replicas,
        "segment.bytes": str(1 << 20),
    }


def parked_config(source: Source) -> dict[str, str]:
    """Parked messages stay until somebody redrives or deletes them.

    It takes what the source takes and more, since a message comes here uncompressed and with headers of ours. Segments
    are closed after a day, so that the bodies of those that were sent back are not kept for ever.
    """
    largest = max(_LEAST_MAX_PARKED, 2 * source.max_message_bytes)
    return {
        "cleanup.policy": "compact",
        **_DATED_BY_THE_BROKER,
        "min.insync.replicas": source.min_insync_replicas,
        "max.message.bytes": str(largest),
        "segment.bytes": str(max(128 << 20, 2 * largest)),
        "segment.ms": str(24 * 3600 * 1000),
    }


def of_fanout(options: Options, source: Source) -> tuple[Ours, ...]:
    """The topics that a worker with these options keeps for itself."""
    row = int(options.max_row_bytes)
    return (
        Ours(options.changelog, source.partitions, changelog_config(source, row), row, grows=True),
        Ours(options.parked, 1, parked_config(source)),
        Ours(options.name, 1, board_config(source)),
    )


async def ensure(
    admin: AIOKafkaAdminClient, wanted: Sequence[Ours], source: Source, brokers: str, *, make: bool = True
) -> list[str]:
    """Make the topics of ours that are missing, and check those that are there.

    They are looked for first: who may not create topics is refused before being told that there is one already. Without
    ``make`` nothing is changed; the broker is asked whether it would be allowed.

    Returns:
        Those that were missing.

    Raises:
        StartError: one cannot be made, or its partitions or policy would lose what is written to it.
    """
    missing = []
    for topic in wanted:
        found = await _partitions(admin, topic.name, brokers)
        if found is None:
            missing.append(topic)
            continue
        if make and topic.grows and len(found) < topic.partitions:
            await raise_partitions(admin, topic.name, topic.partitions, brokers)
            logger.info("topic %s has %d partitions now, as many as %s", topic.name, topic.partitions, source.topic)
            found = await _made_meanwhile(admin, topic.name, brokers, topic.partitions)
        await _check(admin, topic, len(found), source, brokers)
    names = [topic.name for topic in missing]
    if not missing:
        return names
    response = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions, source.replication, topic_configs=topic.config) for topic in missing],
        validate_only=not make,
    )
    outcomes = {name: (code, reason) for name, code, reason in response.topic_errors}
    not_made = {}
    for topic in missing:
        code, reason = outcomes[topic.name]
        if code == 0 and make:
            logger.info("created topic %s with %d partitions", topic.name, topic.partitions)
        elif code == TopicAlreadyExistsError.errno and make:
            count = len(await _made_meanwhile(admin, topic.name, brokers))
            await _check(admin, topic, count, source, brokers)
        elif code:
            not_made[topic] = (for_code(code), reason)
    if not_made:
        raise StartError(_cannot_create(not_made, source, brokers))
    return names


async def _made_meanwhile(admin: AIOKafkaAdminClient, name: str, brokers: str, least: int = 1) -> list[Any]:
    """The partitions of a topic, of which so many have just been made; metadata is a moment behind."""
    for _ in range(_LOOKS):
        found = await _partitions(admin, name, brokers)
        if found and len(found) >= least:
            return found
        await asyncio.sleep(_LOOK_PAUSE)
    raise UnansweredError(f"topic {name} exists on {brokers} and cannot be seen: start again")


async def _check(admin: AIOKafkaAdminClient, topic: Ours, count: int, source: Source, brokers: str) -> None:
    if count != topic.partitions:
        raise StartError(_wrong_count(topic, count, source, brokers))
    found = await _config(admin, topic.name)
    if found is None:
        return
    policy = topic.config["cleanup.policy"]
    if found.get("cleanup.policy", policy) != policy:
        raise StartError(
            f"topic {topic.name} has cleanup.policy={found.get('cleanup.policy')} and would lose what is written "
            f"to it; mend it with: kafka-configs.sh --bootstrap-server {brokers} --alter --topic {topic.name} "
            f"--add-config cleanup.policy={policy}"
        )
    largest = found.get("max.message.bytes")
    if largest is not None and int(largest) < topic.least_message_bytes:
        # A row that is refused for its size would be tried for ever, and nothing of its partition be durable.
        raise StartError(
            f"topic {topic.name} takes messages of {largest} bytes and must take {topic.least_message_bytes} "
            f"(--max-row-bytes): lower that, or raise it with: kafka-configs.sh --bootstrap-server {brokers} --alter "
            f"--topic {topic.name} --add-config max.message.bytes={topic.config['max.message.bytes']}"
        )
    for key, value in topic.config.items():
        if found.get(key) != value:
            logger.warning("topic %s has %s=%s, fanout would set %s", topic.name, key, found.get(key), value)


def _wrong_count(topic: Ours, count: int, source: Source, brokers: str) -> str:
    text = f"topic {topic.name} has {count} partitions and must have {topic.partitions}"
    if topic.partitions == source.partitions > 1:
        text += f", as many as {source.topic}"
    if count < topic.partitions:
        return (
            f"{text}; raise it with: kafka-topics.sh --bootstrap-server {brokers} --alter --topic {topic.name} "
            f"--partitions {topic.partitions}"
        )
    return (
        f"{text}: choose another --id, or, if what it holds may be forgotten, delete it with: kafka-topics.sh "
        f"--bootstrap-server {brokers} --delete --topic {topic.name}"
    )


def _cannot_create(not_made: Mapping[Ours, tuple[type[KafkaError], str | None]], source: Source, brokers: str) -> str:
    """One line with every command that is needed: whoever has the right to runs them once."""
    error, reason = next(iter(not_made.values()))
    refused = issubclass(error, (TopicAuthorizationFailedError, ClusterAuthorizationFailedError))
    why = "this user has no right to" if refused else (reason or error.__name__)
    names = " and ".join(topic.name for topic in not_made)
    commands = " && ".join(
        f"kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic.name} --partitions {topic.partitions} "
        f"--replication-factor {source.replication} "
        + " ".join(f"--config {key}={value}" for key, value in topic.config.items())
        for topic in not_made
    )
    return f"cannot create {names} ({why}); have it done with: {commands}"


async def _config(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str] | None:
    """The settings of a topic, None if they may not be read: a warning, since most are as fanout made them.

    Raises:
        KafkaError: they could be a moment later.
    """
    try:
        responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        code, _, _, _, entries = responses[0].resources[0][:5]
        if code:
            raise for_code(code)
    except KafkaError as error:
        if error.retriable:
            raise
        logger.warning("the settings of topic %s cannot be read: %s", topic, type(error).__name__)
        return None
    return {entry[0]: entry[1] for entry in entries}
