"""Writes single messages with all that belongs to them, and waits for Kafka: dead letters, redrives, the board.

A producer of its own: a body of some megabytes must not hold up the ledger rows behind it. And not an idempotent one:
after a message that the broker refuses as too large, aiokafka's goes on with sequence numbers that the broker takes for
a gap, and nothing is taken any more. What a retry may write twice here is parked once by its key, or redelivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from fanout_app.kafka.acknowledged import acknowledged
from fanout_app.ports import SourceError

#: Beyond the broker's own limits, which decide; it only has to be larger than they are.
_MAX_REQUEST_SIZE = 256 << 20
_STOP_FOR = 3.0
#: aiokafka's own default, in seconds.
_REQUEST = 40.0
#: In place of a null value, which aiokafka refuses beside a null key although Kafka does not.
_NULL = object()


class TooLargeError(SourceError):
    """The topic takes no message of this size, now or later."""


class Writer:
    """Connects with the first message."""

    def __init__(self, brokers: list[str], request_timeout: float = _REQUEST) -> None:
        """``request_timeout``: seconds after which what a broker has not taken is given up."""
        self._brokers = brokers
        self._request_timeout = request_timeout
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._stopped = False

    async def stop(self) -> None:
        """Leave, and take nothing any more. What Kafka does not take in a moment was not acknowledged to anyone."""
        self._stopped = True
        producer, self._producer = self._producer, None
        if producer is not None:
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
            SourceError: it was not acknowledged.
        """
        try:
            producer = await self._open()
            given = _NULL if value is None else value
            sent = await producer.send(topic, given, key=key, partition=partition, headers=list(headers))
            return int((await acknowledged(sent)).offset)
        except MessageSizeTooLargeError as error:
            size = len(key or b"") + len(value or b"")
            raise TooLargeError(
                f"topic {topic} takes no message of {size} bytes: raise its max.message.bytes"
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

    async def partitions(self, topic: str) -> set[int]:
        """The numbers of a topic's partitions.

        Raises:
            SourceError: Kafka did not answer.
        """
        try:
            return set(await (await self._open()).partitions_for(topic))
        except KafkaError as error:
            raise SourceError(repr(error)) from error

    async def _open(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._stopped:
                raise SourceError("this worker is stopping")
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._brokers,
                    acks="all",
                    request_timeout_ms=round(self._request_timeout * 1000),
                    max_request_size=_MAX_REQUEST_SIZE,
                    value_serializer=_null_again,
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer


def _null_again(value: object) -> object:
    return None if value is _NULL else value
