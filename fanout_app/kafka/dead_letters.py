"""Where messages go that nobody is to have again: the dead-letter topic, or the topic of parked ones."""

from __future__ import annotations

from typing import Any

from fanout_app.core.message import Message
from fanout_app.kafka.errors import as_source_error


class DeadLetters:
    """Writes a message, with where it came from and why it ended here, and waits for the acknowledgement."""

    def __init__(self, app: Any, topic: str, source: str) -> None:
        self._app = app
        self._topic = topic
        self._source = source

    async def put(self, partition: int, message: Message, *, delivery_count: int, reason: str, client: str) -> None:
        """Write it with ``acks=all``.

        Raises:
            SourceError: it was not acknowledged; the message must not be settled.
        """
        headers = [
            *message.headers,
            ("fanout-topic", self._source.encode()),
            ("fanout-partition", b"%d" % partition),
            ("fanout-offset", b"%d" % message.offset),
            ("fanout-timestamp", b"%d" % message.timestamp),
            ("fanout-delivery-count", b"%d" % delivery_count),
            ("fanout-reason", reason.encode()),
            ("fanout-client", client.encode()),
        ]
        with as_source_error():
            await (await self._app.producer.send(self._topic, message.key, message.value, None, None, headers))
