"""Asks the leaders of a topic's partitions what is in their logs: no consumer, no group, nothing fetched ahead.

aiokafka's consumer goes on fetching behind whatever it was asked for, and answers for the end of a log what its
isolation level calls so. Here a question is one request a leader, and its answer is all that was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, OffsetOutOfRangeError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.records import CarefulRecords, KeptRecords
from fanout_app.kafka.topic_id import topic_id
from fanout_app.ports import SourceError

T = TypeVar("T")

READ_UNCOMMITTED = 0
READ_COMMITTED = 1
#: What Kafka calls these in a question for offsets, in place of a timestamp (`ListOffsets` of its protocol).
EARLIEST = -2
LATEST = -1

_TIMEOUT = 10.0
_RETRY_PAUSE = 0.1
_IDLE = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """What one fetch brought of one partition."""

    #: None where the offset is not in the log.
    records: CarefulRecords | None
    #: There are records here, and none came: the first batch is larger than was asked for and is sent alone only.
    cut: bool = False
    #: From here on records belong to open transactions.
    last_stable: int = 0
    highwater: int = 0


class LogClient:
    """Connects with the first question, and leaves a minute after the last."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self.topic = topic
        self._brokers = brokers
        self._client: AIOKafkaClient | None = None
        self._opening = asyncio.Lock()
        self._asking = 0
        self._idle: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._stopped = False

    async def stop(self) -> None:
        """Leave, and answer nothing any more."""
        self._stopped = True
        if self._idle is not None:
            self._idle.cancel()
        if self._leaving is not None:
            await self._leaving
        await self._leave()

    async def fetch(
        self, at: Mapping[int, int], max_bytes: int, isolation: int, *, wait: float = 0.0
    ) -> dict[int, Part]:
        """Read on from one offset of each partition; what is there already.

        Args:
            max_bytes: for each partition; a first batch that is larger is sent whole only in an answer that holds
                nothing else.
            wait: seconds that a leader may wait where it has nothing yet.

        Raises:
            SourceError: Kafka did not answer.
        """

        async def ask(client: AIOKafkaClient, node: int, partitions: list[int]) -> dict[int, Part]:
            wanted = [(number, at[number], max_bytes) for number in partitions]
            request = FetchRequest(round(wait * 1000), 1, max_bytes * len(wanted), isolation, [(self.topic, wanted)])
            response = await client.send(node, request)
            return {
                number: _part(TopicPartition(self.topic, number), at[number], isolation, code, highwater, rest)
                for _, parts in response.topics
                for number, code, highwater, *rest in parts
            }

        return await self._ask_leaders(at, ask)

    async def offsets(self, at: Mapping[int, int]) -> dict[int, int | None]:
        """The first offset at or after a timestamp (ms), or EARLIEST or LATEST, of each partition.

        LATEST is the high watermark. None where the log has nothing so late.

        Raises:
            SourceError: Kafka did not answer.
        """

        async def ask(client: AIOKafkaClient, node: int, partitions: list[int]) -> dict[int, int | None]:
            wanted = [(number, at[number]) for number in partitions]
            response = await client.send(node, OffsetRequest(-1, READ_UNCOMMITTED, [(self.topic, wanted)]))
            found: dict[int, int | None] = {}
            for _, parts in response.topics:
                for number, code, _timestamp, offset in parts:
                    _check(code, number)
                    found[number] = offset if offset >= 0 else None
            return found

        return await self._ask_leaders(at, ask)

    async def bounds(self, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Where these logs start, and where they end (the high watermarks).

        Raises:
            SourceError: Kafka did not answer.
        """
        numbers = list(partitions)
        starts = await self.offsets(dict.fromkeys(numbers, EARLIEST))
        ends = await self.offsets(dict.fromkeys(numbers, LATEST))
        return {number: (starts[number] or 0, ends[number] or 0) for number in numbers}

    async def topic_id(self) -> bytes:
        """The id of the topic, which is another one when the topic has been made anew; empty from old brokers.

        Raises:
            SourceError: Kafka did not answer.
        """

        async def ask(client: AIOKafkaClient, node: int, partitions: list[int]) -> dict[int, bytes]:
            return dict.fromkeys(partitions, await topic_id(client, node, self.topic))

        return (await self._ask_leaders([0], ask))[0]

    # Asking ----------------------------------------------------------------------------------------------------------

    async def _ask_leaders(
        self, partitions: Iterable[int], ask: Callable[[AIOKafkaClient, int, list[int]], Awaitable[dict[int, T]]]
    ) -> dict[int, T]:
        numbers = list(partitions)
        last: KafkaError | None = None
        self._asking += 1
        try:
            async with asyncio.timeout(_TIMEOUT):
                while True:
                    try:
                        client = await self._open()
                        nodes = _by_leader(client, self.topic, numbers)
                        answers = await asyncio.gather(*(ask(client, node, part) for node, part in nodes.items()))
                        return {number: answer for one in answers for number, answer in one.items()}
                    except KafkaError as error:
                        if not error.retriable:
                            raise SourceError(repr(error), refused=True) from error
                        last = error
                        if error.invalid_metadata and self._client is not None:
                            await self._client.force_metadata_update()
                    await asyncio.sleep(_RETRY_PAUSE)
        except TimeoutError:
            raise SourceError(f"no answer within {_TIMEOUT:g} s, the last error was {last!r}") from None
        finally:
            self._asking -= 1
            self._leave_later()

    async def _open(self) -> AIOKafkaClient:
        async with self._opening:
            if self._stopped:
                raise SourceError("this worker is stopping")
            if self._client is None:
                client = AIOKafkaClient(**self._brokers.client, request_timeout_ms=int(_TIMEOUT * 1000))
                try:
                    await client.bootstrap()
                    await client.set_topics([self.topic])
                except BaseException:
                    await client.close()
                    raise
                self._client = client
            return self._client

    def _leave_later(self) -> None:
        if self._stopped:
            return
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE, self._leave_if_idle)

    def _leave_if_idle(self) -> None:
        if not self._asking:
            self._leaving = asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def _by_leader(client: AIOKafkaClient, topic: str, numbers: list[int]) -> dict[int, list[int]]:
    nodes: dict[int, list[int]] = {}
    for number in numbers:
        node = client.cluster.leader_for_partition(TopicPartition(topic, number))
        if node is None or node == -1:
            raise LeaderNotAvailableError(f"partition {number} has no leader")
        nodes.setdefault(node, []).append(number)
    return nodes


def _check(code: int, number: int) -> None:
    if code:
        raise for_code(code)(f"partition {number}")


def _part(tp: Any, offset: int, isolation: int, code: int, highwater: int, rest: list[Any]) -> Part:
    if for_code(code) is OffsetOutOfRangeError:
        return Part(None)
    _check(code, tp.partition)
    # Behind the last stable offset come the log's start and other things, by version; the records are last.
    last_stable, raw = rest[0], rest[-1] or b""
    aborted = next((field for field in rest[1:-1] if isinstance(field, list)), None)
    kept = KeptRecords(raw)
    records = CarefulRecords(tp, kept, aborted, offset, None, None, True, isolation)
    readable = highwater if isolation == READ_UNCOMMITTED else min(last_stable, highwater)
    return Part(records, not kept.has_next() and offset < readable, last_stable, highwater)
