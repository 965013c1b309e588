"""A parked topic in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fanout_app.core.parked import ParkedMessage, Redriven

PARKED_UNIX_MS = 1_800_000_000_000


class FakeParked:
    """Takes any name that a test gives."""

    def __init__(self) -> None:
        self.messages: list[ParkedMessage] = []
        self.no_group: list[int] | None = None
        self.redrives: list[Sequence[int] | None] = []
        #: How many messages each look at them asked for.
        self.steps: list[int] = []
        #: What Kafka answers to whoever wants to change something.
        self.kafka: Callable[[], Awaitable[None]] | None = None

    def put(self, parked: int, **rest: Any) -> None:
        fields: dict[str, Any] = {
            "partition": 2, "offset": 70 + parked, "timestamp": PARKED_UNIX_MS - 5000, "parked_at": PARKED_UNIX_MS,
            "delivery_count": 3, "reason": "broken", "client": "ann", "key": b"k", "value": b"v", "headers": [],
        }  # fmt: skip
        self.messages.append(ParkedMessage(parked, **{**fields, **rest}))

    async def list(self, limit: int, after: int) -> Sequence[ParkedMessage]:
        self.steps.append(limit)
        return [message for message in self.messages if message.parked > after][:limit]

    async def redrive(self, parked: Sequence[int] | None) -> Redriven:
        self.redrives.append(parked)
        if self.kafka is not None:
            await self.kafka()
        there = {message.parked for message in self.messages}
        asked = there if parked is None else set(parked)
        self.messages = [message for message in self.messages if message.parked not in asked]
        return Redriven(len(asked & there), sorted(asked - there), self.no_group)
