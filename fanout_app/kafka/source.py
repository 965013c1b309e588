"""The source topic, as the runtime sees it: through the app's one consumer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from faust.types import TP

from fanout_app.core.requests import SeekTo, Timestamp
from fanout_app.kafka.errors import as_source_error
from fanout_app.kafka.log_client import LogClient
from fanout_app.ports import SourceError


class ConsumerSource:
    """The runtime's `Source`."""

    def __init__(self, app: Any, log: LogClient) -> None:
        self._app = app
        self._log = log
        self._topic = log.topic

    async def seek(self, partition: int, offset: int) -> None:
        with as_source_error():
            await self._app.consumer.seek_source(partition, offset)

    async def log_start(self, partition: int) -> int:
        tp = TP(self._topic, partition)
        with as_source_error():
            return int((await self._app.consumer.earliest_offsets(tp))[tp])

    async def log_ends(self, partitions: Iterable[int]) -> dict[int, int]:
        with as_source_error():
            ends = await self._app.consumer.highwaters(*(TP(self._topic, partition) for partition in partitions))
        return {tp.partition: int(end) for tp, end in ends.items()}

    async def topic_id(self) -> bytes:
        return await self._log.topic_id()

    async def offsets_at(self, partitions: Iterable[int], to: SeekTo) -> dict[int, int]:
        numbers = list(partitions)
        bounds = await self._log.bounds(numbers)
        if isinstance(to, Timestamp):
            found = await self._log.offsets(dict.fromkeys(numbers, to.unix_ms))
            return {number: bounds[number][1] if at is None else at for number, at in found.items()}
        if isinstance(to, int):
            return {number: min(max(start, to), end) for number, (start, end) in bounds.items()}
        return {number: start if to == "earliest" else end for number, (start, end) in bounds.items()}

    async def commit(self, partition: int, floor: int, era: int) -> None:
        with as_source_error():
            committed = await self._app.consumer.commit_source(partition, floor, era)
        if not committed:
            raise SourceError("the group's coordinator did not take the offset", refused=True)

    def wake_up(self) -> None:
        self._app.consumer.wake_up()

    def member(self) -> str:
        return str(self._app.consumer.member_id)
