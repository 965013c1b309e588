"""Messages that a group with ledgers of its own has given up on: they are parked for it, and go back to it alone."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Protocol

from fanout_app.core.errors import NotOwnedError
from fanout_app.core.message import Message
from fanout_app.core.parked import Parked, ParkedMessage, Redriven
from fanout_app.opening import Everywhere
from fanout_app.ports import DeadLetterSink


class SinkOfGroup:
    """Where those of one group go."""

    def __init__(self, sink: DeadLetterSink, group: str) -> None:
        self._sink = sink
        self._group = group

    async def put(
        self, partition: int, message: Message, *, delivery_count: int, reason: str, client: str, group: str = ""
    ) -> None:
        """See `DeadLetterSink.put`."""
        await self._sink.put(
            partition,
            message,
            delivery_count=delivery_count,
            reason=reason,
            client=client,
            group=group or self._group,
        )


class ParkedForGroups(Protocol):
    """Those of all groups, see `fanout_app.kafka.parked.ParkedTopic`."""

    async def list(self, limit: int, after: int) -> Sequence[ParkedMessage]: ...
    async def redrive(self, parked: Sequence[int] | None, groups: Set[str] | None = None) -> Redriven: ...


class ParkedOfGroups(Parked):
    """What is redriven for a group that is not there would be nobody's: it stays."""

    def __init__(self, parked: ParkedForGroups, everywhere: Everywhere) -> None:
        """``everywhere`` is `Joining.everywhere`."""
        self._parked = parked
        self._everywhere = everywhere

    async def list(self, limit: int, after: int) -> Sequence[ParkedMessage]:
        return await self._parked.list(limit, after)

    async def redrive(self, parked: Sequence[int] | None) -> Redriven:
        """See `Parked.redrive`.

        Raises:
            NotOwnedError: which groups there are is not known at the moment.
        """
        groups = await self._everywhere()
        if groups is None:
            raise NotOwnedError("partitions are moving, and which groups there are is not known: ask again")
        return await self._parked.redrive(parked, groups)
