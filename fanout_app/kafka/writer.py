"""Writes single messages with all that belongs to them, and waits for Kafka: dead letters, redrives, the board.

A producer of its own: a body of some megabytes must not hold up the ledger rows behind it. And not an idempotent one:
after a message that the broker refuses as too large, aiokafka's goes on with sequence numbers that the broker takes for
a gap, and nothing is taken any more. What a retry may write twice here is parked once by its key, or redelivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownError,
)

from fanout_app.kafka.acknowledged import acknowledged
from fanout_app.kafka.brokers import Brokers
from fanout_app.ports import SourceError

#: Beyond the broker's own limits, which decide; it only has to be larger than they are.
_MAX_REQUEST_SIZE = 256 << 20
_STOP_FOR = 3.0
#: aiokafka's own default, in seconds.
_REQUEST = 40.0
#: In place of a null value, which aiokafka refuses beside a null key although Kafka does not.
_NULL = object()


class NeverTakenError(SourceError):
    """The topic does not take this message, now or later."""


class TooLargeError(NeverTakenError):
    """It takes none of this size."""


class Writer:
    """Connects with the first message."""

    def __init__(self, brokers: Brokers, request_timeout: float = _REQUEST) -> None:
        """``request_timeout``: seconds after which what a broker has not taken is given up."""
        self._brokers = brokers
        self._request_timeout = request_timeout
        #: By whether its batches hold one message each.
        self._producers: dict[bool, AIOKafkaProducer] = {}
        self._opening = asyncio.Lock()
        self._stopped = False

    async def stop(self) -> None:
        """Leave, and take nothing any more. What Kafka does not take in a moment was not acknowledged to anyone."""
        self._stopped = True
        producers, self._producers = self._producers, {}
        for producer in producers.values():
            try:
                async with asyncio.timeout(_STOP_FOR):
                    await producer.stop()
            except TimeoutError:
                await producer.client.close()

    async def write(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int | None = None,
    ) -> int:
        """Write with ``acks=all`` and answer the offset. Without a partition the key decides, or chance.

        Who gives up waiting does not take the message back: it may be written all the same.

        Raises:
            TooLargeError: the topic takes nothing of this size.
            NeverTakenError: it does not take this message for another reason.
            SourceError: it was not acknowledged.
        """
        given = _NULL if value is None else value
        record = {"value": given, "key": key, "partition": partition, "headers": list(headers)}
        try:
            try:
                return await self._send(topic, record, alone=False)
            except (MessageSizeTooLargeError, UnknownError):
                # A batch is refused whole: it may have been for its size, or for another one in it.
                return await self._send(topic, record, alone=True)
        except MessageSizeTooLargeError as error:
            size = len(key or b"") + len(value or b"")
            raise TooLargeError(
                f"topic {topic} takes no message of {size} bytes: raise its max.message.bytes"
            ) from error
        except UnknownError as error:
            if key is not None:
                raise SourceError(repr(error)) from error
            # aiokafka does not know the code of what a broker says of a record that is not as its topic wants it.
            raise NeverTakenError(
                f"topic {topic} takes no message without a key: a dead-letter topic must not be compacted"
            ) from error
        except InvalidTimestampError as error:
            raise SourceError(
                f"topic {topic} takes nothing that is dated as far from its broker's time as this machine's clock is: "
                "set the clock right, or give the topic message.timestamp.type=LogAppendTime"
            ) from error
        except TopicAuthorizationFailedError as error:
            raise SourceError(
                f"this user may not write to topic {topic}; allow it with: kafka-acls.sh --add --allow-principal "
                f"User:NAME --operation Write --topic {topic}"
            ) from error
        except KafkaError as error:
            raise SourceError(repr(error)) from error

    async def _send(self, topic: str, record: dict[str, Any], *, alone: bool) -> int:
        producer = await self._open(alone=alone)
        sent = await producer.send(topic, **record)
        return int((await acknowledged(sent)).offset)

    async def partitions(self, topic: str) -> set[int]:
        """The numbers of a topic's partitions.

        Raises:
            SourceError: Kafka did not answer.
        """
        try:
            return set(await (await self._open()).partitions_for(topic))
        except KafkaError as error:
            raise SourceError(repr(error)) from error

    async def _open(self, *, alone: bool = False) -> AIOKafkaProducer:
        """The producer, or the one whose batches hold one message each."""
        async with self._opening:
            if self._stopped:
                raise SourceError("this worker is stopping")
            if alone not in self._producers:
                producer = AIOKafkaProducer(
                    **self._brokers.client,
                    acks="all",
                    request_timeout_ms=round(self._request_timeout * 1000),
                    max_request_size=_MAX_REQUEST_SIZE,
                    value_serializer=_null_again,
                    **({"max_batch_size": 1} if alone else {}),
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producers[alone] = producer
            return self._producers[alone]


def _null_again(value: object) -> object:
    return None if value is _NULL else value
