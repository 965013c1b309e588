"""The topic's side of a history: what is produced, and what the consumer group has committed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from support.histories.events import Committed, Produced, Producing
from support.histories.plan import Write
from support.histories.recorder import Recorder, digest
from support.kafka import Kafka

_SAMPLED_EVERY = 0.1
_KEYS = 20


class Topic:
    """One topic of one broker, which may be away for a while."""

    def __init__(self, recorder: Recorder, kafka: Kafka, name: str) -> None:
        self.name = name
        self._recorder = recorder
        self._kafka = kafka
        self._brokers = brokers = kafka.brokers
        self._numbers = 0
        # Idempotent: a value is to be at one place only, however often it had to be sent.
        self._producer = AIOKafkaProducer(bootstrap_servers=brokers, enable_idempotence=True, max_request_size=2 << 20)
        self._transactional = self._new_transactional()

    def _new_transactional(self) -> Any:
        return AIOKafkaProducer(bootstrap_servers=self._brokers, transactional_id=f"history-{secrets.token_hex(4)}")

    async def __aenter__(self) -> Self:
        await self._producer.start()
        await self._transactional.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._transactional.stop()
        await self._producer.stop()

    async def produce(self, writes: Sequence[Write], enough: asyncio.Event) -> None:
        """Produce all of it, or until there is ``enough``, and return when the outcome of each is known."""
        async with asyncio.TaskGroup() as group:
            for write in writes:
                await asyncio.sleep(write.after)
                if enough.is_set():
                    break
                if write.end:
                    await self._in_transaction(write)
                else:
                    for _ in range(write.count):
                        op, key, value = self._begin(write)
                        sent = await self._producer.send(self.name, value, key=key, partition=write.partition)
                        group.create_task(self._end(op, sent))

    def _begin(self, write: Write) -> tuple[int, bytes, bytes]:
        self._numbers += 1
        op, key = self._recorder.op(), f"k{self._numbers % _KEYS}"
        value = f"m{self._numbers}"
        value += "." * (write.size - len(value))
        self._recorder.write(
            Producing(at=self._recorder.now(), op=op, partition=write.partition, key=key, body=digest(value))
        )
        return op, key.encode(), value.encode()

    async def _end(self, op: int, sent: asyncio.Future[Any]) -> None:
        recorder = self._recorder
        try:
            offset = (await sent).offset
        except KafkaError as error:
            recorder.write(Produced(at=recorder.now(), op=op, outcome="unknown", error=repr(error)))
        else:
            recorder.write(Produced(at=recorder.now(), op=op, outcome="ok", offset=offset))

    async def _in_transaction(self, write: Write) -> None:
        recorder, producer = self._recorder, self._transactional
        places: list[tuple[int, int | None]] = []
        try:
            await producer.begin_transaction()
            for _ in range(write.count):
                op, key, value = self._begin(write)
                places.append((op, None))
                sent = await producer.send_and_wait(self.name, value, key=key, partition=write.partition)
                places[-1] = (op, sent.offset)
            await (producer.commit_transaction() if write.end == "commit" else producer.abort_transaction())
        except KafkaError as error:
            # Nobody knows; and a transactional producer that failed is of no more use.
            for op, _ in places:
                recorder.write(Produced(at=recorder.now(), op=op, outcome="unknown", error=repr(error)))
            await producer.stop()
            self._transactional = self._new_transactional()
            await self._transactional.start()
        else:
            outcome: Literal["ok", "aborted"] = "ok" if write.end == "commit" else "aborted"
            for op, offset in places:
                recorder.write(Produced(at=recorder.now(), op=op, outcome=outcome, offset=offset))

    # Looking ---------------------------------------------------------------------------------------------------------

    async def committed(self, id: str) -> dict[int, int]:
        """The offsets of this id's consumer group, written down too. Empty if Kafka does not answer."""
        recorder = self._recorder
        sent = recorder.now()
        try:
            offsets = await self._kafka.committed(id, self.name)
        except (KafkaError, OSError):
            return {}
        recorder.write(Committed(at=recorder.now(), sent=sent, offsets=offsets))
        return offsets

    async def watch(self, id: str) -> None:
        """Look at the group's offsets again and again, until cancelled."""
        while True:
            await self.committed(id)
            await asyncio.sleep(_SAMPLED_EVERY)
