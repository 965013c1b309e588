"""The dead-letter topic of somebody else: messages that nobody is to have again, with where they came from and why."""

from __future__ import annotations

import logging

from fanout_app.core.message import Message
from fanout_app.kafka.writer import NeverTakenError, Writer
from fanout_app.ports import DeadLetterSink

logger = logging.getLogger("fanout.kafka.dead_letters")

#: With broadcast: whose it was.
GROUP = "fanout-group"


def origin_headers(
    topic: str, partition: int, message: Message, *, delivery_count: int, reason: str, client: str, group: str
) -> list[tuple[str, bytes | None]]:
    """What a message carries with it into another topic."""
    headers: list[tuple[str, bytes | None]] = [
        ("fanout-topic", topic.encode()),
        ("fanout-partition", b"%d" % partition),
        ("fanout-offset", b"%d" % message.offset),
        ("fanout-timestamp", b"%d" % message.timestamp),
        ("fanout-delivery-count", b"%d" % delivery_count),
        ("fanout-reason", reason.encode()),
        ("fanout-client", client.encode()),
    ]
    return [*headers, (GROUP, group.encode())] if group else headers


class DeadLetters:
    """The runtime's `DeadLetterSink` where a dead-letter topic is given.

    What that never takes is parked: tried for ever it would hold up the floor, and its client would ask for ever.
    """

    def __init__(self, writer: Writer, topic: str, source: str, parked: DeadLetterSink) -> None:
        self._writer = writer
        self._topic = topic
        self._source = source
        self._parked = parked

    async def put(
        self, partition: int, message: Message, *, delivery_count: int, reason: str, client: str, group: str = ""
    ) -> None:
        """Write it with ``acks=all``.

        Raises:
            SourceError: it was not acknowledged; the message must not be settled.
        """
        origin = origin_headers(
            self._source, partition, message, delivery_count=delivery_count, reason=reason, client=client, group=group
        )
        try:
            await self._writer.write(
                self._topic, key=message.key, value=message.value, headers=[*message.headers, *origin]
            )
        except NeverTakenError as error:
            await self._parked.put(
                partition, message, delivery_count=delivery_count, reason=reason, client=client, group=group
            )
            logger.warning("partition %d/%d: parked instead: %s", partition, message.offset, error)
