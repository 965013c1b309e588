"""Partitions that are added to the source: the changelog gets as many, and the group takes notice.

Any worker may do either, and several at once do no harm: Kafka refuses whoever comes second.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidPartitionsError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.metadata import MetadataRequest

from fanout_app.core.errors import StartError
from fanout_app.kafka.brokers import Brokers

logger = logging.getLogger("fanout.kafka.growth")

Counts = Callable[[list[str]], Awaitable[Mapping[str, int]]]


class Growth:
    """To be asked to look every few seconds."""

    def __init__(
        self,
        source: str,
        changelog: str,
        *,
        counts: Counts,
        raise_to: Callable[[int], Awaitable[None]],
        take_notice: Counts,
        noticed: Callable[[int], None],
    ) -> None:
        """``counts`` says how many partitions topics have. ``raise_to`` gives the changelog so many. ``take_notice``
        makes the group look at the topics anew, and says how many partitions it has seen. All of these may raise
        KafkaError, and ``raise_to`` StartError: who is asked has no right to. ``noticed`` is told how many the group
        serves, whenever they are more.
        """
        self._topics = [source, changelog]
        self._noticed = 0
        self._counts = counts
        self._raise_to = raise_to
        self._take_notice = take_notice
        self._tell = noticed
        self._refused = 0

    async def look(self) -> None:
        """Ask once, and do what is to be done. What fails is tried again with the next look."""
        source, changelog = self._topics
        try:
            counts = await self._counts(self._topics)
            wanted, there = counts.get(source, 0), counts.get(changelog, 0)
            if 0 < there < wanted:
                await self._raise(wanted)
            elif min(wanted, there) > self._noticed:
                seen = await self._take_notice(self._topics)
                if min(seen[topic] for topic in self._topics) >= min(wanted, there):
                    self._noticed = min(wanted, there)
                    self._tell(self._noticed)
        except (KafkaError, TimeoutError) as error:
            logger.debug("partitions were not looked at: %r", error)

    async def _raise(self, wanted: int) -> None:
        source, changelog = self._topics
        if wanted == self._refused:
            return
        try:
            await self._raise_to(wanted)
        except StartError as error:
            logger.error("new partitions of topic %s are not served yet: %s", source, error)
            self._refused = wanted
        else:
            logger.info("topic %s has %d partitions now, and %s gets as many", source, wanted, changelog)


async def raise_partitions(admin: AIOKafkaAdminClient, topic: str, partitions: int, brokers: str) -> None:
    """Give a topic so many partitions. It is no fault if it has them already.

    Raises:
        StartError: this user has no right to; the message has the command.
        KafkaError: it was not done.
    """
    try:
        await admin.create_partitions({topic: NewPartitions(partitions)})
    except InvalidPartitionsError:
        logger.debug("another worker has raised the partitions of %s", topic)
    except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError) as error:
        raise StartError(
            f"topic {topic} must have {partitions} partitions, and this user has no right to add any; have it done "
            f"with: kafka-topics.sh --bootstrap-server {brokers} --alter --topic {topic} --partitions {partitions}"
        ) from error


async def raise_by_itself(brokers: Brokers, topic: str, partitions: int) -> None:
    """`raise_partitions` with a client of its own, for once in a year."""
    admin = AIOKafkaAdminClient(**brokers.client)
    try:
        await admin.start()
        await raise_partitions(admin, topic, partitions, str(brokers))
    finally:
        await admin.close()


async def partition_counts(client: Any, topics: list[str]) -> dict[str, int]:
    """How many partitions these topics have, as one broker sees it; a topic that is not there is left out.

    Raises:
        KafkaError: no broker answers.
    """
    request = MetadataRequest(topics, allow_auto_topic_creation=False)
    response = await client.send(client.get_random_node(), request)
    return {topic["topic"]: len(topic["partitions"]) for topic in response.to_object()["topics"] if topic["partitions"]}


async def look_anew(client: Any, topics: Iterable[str]) -> dict[str, int]:
    """Let a client ask for its metadata now, and say how many partitions of these topics it knows then."""
    await client.force_metadata_update()
    return {topic: len(client.cluster.partitions_for_topic(topic) or ()) for topic in topics}
