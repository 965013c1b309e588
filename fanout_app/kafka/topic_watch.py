"""Sees that a topic a worker lives on was deleted under it, and ends the worker with one line.

Without this nothing would: a consumer whose topic is gone is left without partitions and waits for ever, also when the
topic is made anew, and a producer whose changelog is gone tries again and again. Started again, the worker makes what
is its own, or says that the source is missing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.protocol.metadata import MetadataRequest

from fanout_app.core.errors import FanoutError

#: A broker that has just started may not know of a topic for a moment.
_LOOKS = 3


class TopicGoneError(FanoutError):
    """A topic was deleted while it was in use."""


class TopicWatch:
    """To be asked to look every few seconds."""

    def __init__(self, topics: Iterable[str], missing: Callable[[list[str]], Awaitable[set[str]]]) -> None:
        """``missing`` says which of these topics a broker does not know; it raises KafkaError if none answers."""
        self._topics = list(topics)
        self._missing = missing
        self._times = dict.fromkeys(self._topics, 0)

    async def look(self) -> None:
        """Ask once.

        Raises:
            TopicGoneError: a topic was missing in three looks in a row.
        """
        try:
            missing = await self._missing(self._topics)
        except (KafkaError, TimeoutError):
            return  # who does not answer says nothing about topics
        for topic in self._topics:
            self._times[topic] = self._times[topic] + 1 if topic in missing else 0
        gone = [topic for topic in self._topics if self._times[topic] >= _LOOKS]
        if gone:
            raise TopicGoneError(
                f"topic {' and '.join(gone)} was deleted under this worker: start it again, which makes what it keeps "
                "for itself anew, and tells of what it cannot make"
            )


async def missing(client: Any, topics: list[str]) -> set[str]:
    """Which of these topics do not exist, as one broker sees it; asking does not make them.

    Raises:
        KafkaError: no broker answers.
    """
    request = MetadataRequest(topics, allow_auto_topic_creation=False)
    response = await client.send(client.get_random_node(), request)
    return {
        topic["topic"]
        for topic in response.to_object()["topics"]
        if topic["error_code"] == UnknownTopicOrPartitionError.errno
    }
