"""The source topic, as the runtime sees it: through the app's one consumer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from faust.types import TP

from fanout_app.kafka.errors import as_source_error


class ConsumerSource:
    """The runtime's `Source`."""

    def __init__(self, app: Any, topic: str) -> None:
        self._app = app
        self._topic = topic

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

    def wake_up(self) -> None:
        self._app.consumer.wake_up()

    def member(self) -> str:
        return str(self._app.consumer.member_id)
