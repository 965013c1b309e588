"""The board: a compacted topic of one partition that every worker of an id reads.

Here are kept the facts that are decided once for an id and topic, for which the first record of a key wins (the lease
key, where no ZooKeeper is configured, and where the log ended when the id started for the first time), and what an
operator has switched, for which the latest does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from fanout_app.kafka.board_seal import is_sealed
from fanout_app.kafka.brokers import Brokers
from fanout_app.lease_keys import Seal


class Board:
    """Read and add to the board. Made for the start of a worker; opened and closed by `async with`."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._tp = TopicPartition(topic, 0)
        self._consumer = AIOKafkaConsumer(
            **brokers.client, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        self._producer = AIOKafkaProducer(**brokers.client, acks="all", enable_idempotence=True)
        self._first: dict[bytes, bytes] = {}
        self._latest: dict[bytes, Any] = {}

    async def __aenter__(self) -> Board:
        await self._consumer.start()
        try:
            await self._producer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        self._consumer.assign([self._tp])
        await self._consumer.seek_to_beginning(self._tp)
        await self.read()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._producer.stop()
        await self._consumer.stop()

    async def decide_once(self, key: str, value: Callable[[], bytes]) -> bytes:
        """What stands on the board under this key; if nothing does, write ``value()`` and see who was first.

        Compaction keeps the *last* record of a key, so whoever finds one never writes another; two that start at the
        same moment both read back, and the loser writes the winner's value again behind its own.
        """
        name = key.encode()
        if name not in self._first:
            mine = value()
            await self._producer.send_and_wait(self._tp.topic, mine, key=name, partition=0)
            await self.read()
            if self._first[name] != mine:
                await self._producer.send_and_wait(self._tp.topic, self._first[name], key=name, partition=0)
        return self._first[name]

    def latest(self, key: str) -> bytes | None:
        """What was written last under a key that may change."""
        record = self._latest.get(key.encode())
        return None if record is None else bytes(record.value)

    def sealed(self, prefix: str, seal: Seal) -> dict[str, bytes]:
        """What was written last under the keys that begin so, where that bears a seal of ours."""
        return {
            key.decode(): record.value
            for key, record in self._latest.items()
            if key.startswith(prefix.encode()) and is_sealed(seal, key, record.value, record.headers)
        }

    async def read(self) -> None:
        """Read up to the end the log has now."""
        end = (await self._consumer.end_offsets([self._tp]))[self._tp]
        while await self._consumer.position(self._tp) < end:
            for records in (await self._consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    if record.key is not None and record.value is not None:
                        self._first.setdefault(record.key, record.value)
                        self._latest[record.key] = record
                    else:
                        self._latest.pop(record.key, None)
            await asyncio.sleep(0)
