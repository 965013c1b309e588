"""What was written, handed out and acked: whether a message is missing, and which came again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from examples.client import Message

Place = tuple[int, int]

#: Of the lost; the first tell most.
_SHOWN = 5


class Tally:
    """Told all that happens to messages, each named by its partition and offset. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._written: dict[Place, float] = {}
        self._deliveries: Counter[Place] = Counter()
        self._acked: dict[Place, float] = {}
        #: Deliveries to a pull that was sent after the message's ack had been answered.
        self._late = 0

    def wrote(self, place: Place, now: float) -> None:
        self._written[place] = now

    def handed_out(self, messages: Iterable[Message], asked: float) -> None:
        """A pull that was sent at ``asked`` got these."""
        for message in messages:
            self._deliveries[message.place] += 1
            self._late += self._acked.get(message.place, asked) < asked

    def acked(self, messages: Iterable[Message], now: float) -> None:
        for message in messages:
            self._acked.setdefault(message.place, now)

    def __str__(self) -> str:
        again = sum(times > 1 for times in self._deliveries.values())
        return (
            f"{len(self._written)} messages written, {len(self._written) - len(self.missing)} acked; "
            f"{again} came twice, {self._late} after their ack was answered"
        )

    @property
    def missing(self) -> list[Place]:
        """Those that nobody has acked."""
        return sorted(self._written.keys() - self._acked.keys())

    def wrong(self) -> str:
        """What is not as fanout promises, or nothing."""
        missing = self.missing
        if missing:
            places = [f"partition {partition} offset {offset}" for partition, offset in missing[:_SHOWN]]
            more = [f"{len(missing) - _SHOWN} more"] if len(missing) > _SHOWN else []
            return f"{len(missing)} messages were lost: {', '.join(places + more)}"
        return f"{self._late} messages came again although their acks had been answered" if self._late else ""

    def is_served(self, partition: int, since: float) -> bool:
        """Whether a message that was written since then has been handed out: who had the partition before has not."""
        return any(
            written > since and self._deliveries[place]
            for place, written in self._written.items()
            if place[0] == partition
        )

    def acked_between(self, begin: float, end: float) -> dict[int, int]:
        """How many were acked, by partition."""
        counts: dict[int, int] = defaultdict(int)
        for (partition, _), at in self._acked.items():
            counts[partition] += begin <= at < end
        return counts
