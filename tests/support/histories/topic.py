"""The topic's side of a history: what is produced, and what the consumer group has committed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec.structs import replace

from support.eventually import eventually
from support.histories.events import Committed, Compacted, Produced, Producing
from support.histories.plan import Plan, Write
from support.histories.recorder import Recorder, digest
from support.kafka import Kafka
from support.transactions import start_transactional

_SAMPLED_EVERY = 0.1
_KEYS = 20
#: Segments that are closed after a moment, and cleaned as soon as anything in them is superseded; and an operator may
#: delete from such a topic as from any other.
_COMPACTED = {
    "cleanup_policy": "compact,delete", "segment_ms": "300", "max_compaction_lag_ms": "300",
    "min_cleanable_dirty_ratio": "0.01",
}  # fmt: skip


def config_of(plan: Plan) -> dict[str, str]:
    """The settings of its topic, as `Kafka.new_topic` takes them."""
    # What was answered is to be there when a broker has gone.
    in_sync = {"min_insync_replicas": "2"} if plan.brokers > 2 else {}
    return {"max_message_bytes": "2097152", **in_sync, **(_COMPACTED if plan.compacted else {})}


class Topic:
    """One topic of one broker, which may be away for a while."""

    #: There once it has been started.
    _transactional: Any

    def __init__(self, recorder: Recorder, kafka: Kafka, name: str, plan: Plan) -> None:
        self.name = name
        #: How many it has by now.
        self.partitions = plan.partitions
        self.copies = min(3, plan.brokers)
        self.config = config_of(plan)
        self._keyless = plan.keyless
        self._recorder = recorder
        self._kafka = kafka
        self._brokers = kafka.brokers
        self._numbers = 0
        #: Partitions that were added since; they are written to in turn with the others.
        self._added: list[int] = []
        self._writes = 0
        #: Messages that Kafka has.
        self._taken = 0
        #: Partition -> the offsets that were produced to the log as it is now.
        self._produced: dict[int, set[int]] = defaultdict(set)
        #: Held while something is produced.
        self._producing = asyncio.Lock()
        #: Those who wait for the outcome of what was sent.
        self._under_way: set[asyncio.Task[None]] = set()
        self._make_producer()

    def _make_producer(self) -> None:
        # Idempotent: a value is to be at one place only, however often it had to be sent.
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._brokers, enable_idempotence=True, max_request_size=2 << 20
        )

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def _start(self) -> None:
        await self._producer.start()
        self._transactional = await start_transactional(self._brokers)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        await self._transactional.stop()
        await self._producer.stop()

    async def grown(self, partitions: int) -> None:
        """It has so many from now on."""
        for producer in (self._producer, self._transactional):
            await eventually(partial(self._is_known_to, producer, partitions))
        self._added += range(self.partitions, partitions)
        self.partitions = partitions

    async def _is_known_to(self, producer: Any, partitions: int) -> bool:
        """The broker that is asked may be the last one to hear of it."""
        await producer.client.force_metadata_update()
        return len(await producer.partitions_for(self.name)) >= partitions

    @asynccontextmanager
    async def halted(self) -> AsyncIterator[None]:
        """Nothing is produced meanwhile, and what was before is known; afterwards it is another log."""
        async with self._producing:
            await self._producer.flush()
            while self._under_way:
                await asyncio.wait(self._under_way)
            await self._stop()
            yield
            self._produced.clear()
            self._make_producer()
            await self._start()

    async def produce(self, writes: Sequence[Write], enough: asyncio.Event, at_least: int) -> None:
        """Produce all of it, or until there is ``enough`` and ``at_least`` so many messages were taken, and return when
        the outcome of each is known."""
        for write in writes:
            await asyncio.sleep(write.after)
            if enough.is_set() and self._taken >= at_least:
                break
            async with self._producing:
                await self._produce(replace(write, partition=self._partition(write)))
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _partition(self, write: Write) -> int:
        """In its turn an added one, so that all get as many."""
        self._writes += 1
        turn = self._writes % self.partitions
        return self._added[turn] if turn < len(self._added) else write.partition

    async def _produce(self, write: Write) -> None:
        if write.end:
            await self._in_transaction(write)
            return
        for _ in range(write.count):
            op, key, value = self._begin(write)
            sent = await self._producer.send(self.name, value, key=key, partition=write.partition)
            task = asyncio.create_task(self._end(op, write.partition, sent))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _begin(self, write: Write) -> tuple[int, bytes | None, bytes]:
        self._numbers += 1
        op = self._recorder.op()
        key = None if self._keyless and self._numbers % self._keyless == 0 else f"k{self._numbers % _KEYS}"
        value = f"m{self._numbers}"
        value += "." * (write.size - len(value))
        self._recorder.write(
            Producing(at=self._recorder.now(), op=op, partition=write.partition, key=key, body=digest(value))
        )
        return op, key.encode() if key is not None else None, value.encode()

    async def _end(self, op: int, partition: int, sent: asyncio.Future[Any]) -> None:
        recorder = self._recorder
        try:
            offset = (await sent).offset
        except KafkaError as error:
            recorder.write(Produced(at=recorder.now(), op=op, outcome="unknown", error=repr(error)))
        else:
            self._produced[partition].add(offset)
            self._taken += 1
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
            self._transactional = await start_transactional(self._brokers)
        else:
            outcome: Literal["ok", "aborted"] = "ok" if write.end == "commit" else "aborted"
            self._taken += len(places) if outcome == "ok" else 0
            for op, offset in places:
                if offset is not None:
                    self._produced[write.partition].add(offset)
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

    async def compacted(self) -> None:
        """Write down how much of what was produced is not in the log any more."""
        removed = {
            partition: len(offsets.difference(await self._kafka.offsets_in(self.name, partition)))
            for partition, offsets in sorted(self._produced.items())
        }
        self._recorder.write(Compacted(at=self._recorder.now(), removed=removed))

    async def watch(self, id: str) -> None:
        """Look at the group's offsets again and again, until cancelled."""
        while True:
            await self.committed(id)
            await asyncio.sleep(_SAMPLED_EVERY)
