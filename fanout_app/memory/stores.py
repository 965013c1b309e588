"""What a worker keeps in Kafka beside the topic, kept in memory or not at all."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import attrgetter

from fanout_app.core.group_row import Slot, encode_group_row
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.ledger_row import encode_row
from fanout_app.core.message import Message
from fanout_app.core.parked import REDRIVEN_FOR, ParkedMessage, Redriven, address
from fanout_app.memory.topic import MemoryTopic


class MemoryRows:
    """The runtime's `SlotStore`: rows are made, since their size is a limit, and kept nowhere."""

    def __init__(self, id: str, topic: str) -> None:
        self._id = id
        self._topic = topic
        self._counter = 0

    async def write_row(self, partition: int, snapshot: LedgerSnapshot) -> int:
        self._counter += 1
        return len(encode_row(snapshot, id=self._id, topic=self._topic, generation=1, counter=self._counter))

    async def write_slot(self, partition: int, number: int, slot: Slot) -> int:
        self._counter += 1
        return len(encode_group_row(slot, id=self._id, topic=self._topic, generation=1, counter=self._counter))


class MemoryParked:
    """The runtime's `Parked` and its `DeadLetterSink`."""

    def __init__(self, topic: MemoryTopic, id: str, name: str) -> None:
        self._topic = topic
        self._id = id
        self._name = name
        self._messages: list[ParkedMessage] = []
        self._next = 0

    async def put(
        self, partition: int, message: Message, *, delivery_count: int, reason: str, client: str, group: str = ""
    ) -> None:
        self._messages.append(
            ParkedMessage(
                parked=self._next,
                partition=partition,
                offset=message.offset,
                timestamp=message.timestamp,
                parked_at=time.time_ns() // 1_000_000,
                delivery_count=delivery_count,
                reason=reason,
                client=client,
                key=message.key,
                value=message.value,
                headers=message.headers,
                group=group,
            )
        )
        self._next += 1

    async def list(self, limit: int, after: int) -> Sequence[ParkedMessage]:
        first = bisect_left(self._messages, after + 1, key=attrgetter("parked"))
        return self._messages[first : first + limit]

    async def redrive(self, parked: Sequence[int] | None, groups: Iterable[str] | None = None) -> Redriven:
        """See `fanout_app.kafka.parked.ParkedTopic.redrive`."""
        wanted = {message.parked for message in self._messages} if parked is None else set(parked)
        known = {message.parked: message for message in self._messages if message.parked in wanted}
        here = None if groups is None else {"", *groups}
        stay = [name for name, message in known.items() if here is not None and message.group not in here]
        for name in stay:
            del known[name]
        for message in known.values():
            ours = [("fanout-redriven-from", b"%d/%d" % (message.partition, message.offset))]
            if message.group:
                ours.append((REDRIVEN_FOR, address(self._id, self._name, message.group)))
            self._topic.append(message.partition, message.key, message.value, [*message.headers, *ours])
        self._messages = [message for message in self._messages if message.parked not in known]
        return Redriven(len(known), sorted(wanted - known.keys() - set(stay)), None if groups is None else stay)
