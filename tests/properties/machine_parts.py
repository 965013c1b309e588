"""What the machine is made of: wishes that Hypothesis draws, a log to read, and one way to look at either queue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hypothesis import strategies as st

from fanout_app.core.lanes import By
from fanout_app.core.lease import Answer
from fanout_app.core.message import Message, size_of
from fanout_app.core.partition import PartitionQueue
from fanout_app.core.requests import LeaseRef, SettleOutcome
from fanout_app.core.settling import Settling
from properties.naive_queue import NaivePartition, Place
from properties.naive_settling import Outcome
from properties.naive_shares import key_of
from support.messages import FakeMessage

NUMBERS = (0, 1)
#: Rows of one generation share a key, so that a late owner cannot shadow its successor's row.
GENERATIONS = 8
WEIGHTS = (
    {"stable": 100},
    {"stable": 95, "canary": 5},
    {"stable": 60, "canary": 40},
    {"stable": 0, "canary": 1},
    {"stable": 0, "canary": 0},
    {"stable": 50, "canary": 30, "other": 20},
    {"canary": 1, "other": 1},
)

numbers = st.sampled_from(NUMBERS)
# Multiples of powers of two, so that sums of times are exact.
waits = st.sampled_from((0.5, 2.0, 30.0))
delays = st.sampled_from((None, 0.0, 0.5, 3.0))
#: One record or hole each: the size of the record's value, None for an offset without a record.
records = st.lists(st.sampled_from((0, 1, 1, 1, 10, 100, None)), min_size=1, max_size=6)
recent = st.integers(0, 4) | st.integers(0, 60)
refs = st.tuples(st.sampled_from(("live lease", "live lease", "lease", "batch")), recent)


class Left(NamedTuple):
    """A message that an owner leaves to the next one to hold back."""

    size: int
    #: Who has it, or has failed it if it rests, in which group, and whether that one has a name.
    client: str | None
    group: str
    named: bool
    #: None: it rests.
    batch: int | None
    delivery_count: int


class Written(NamedTuple):
    """A row, and what it holds by the naive queue."""

    row: bytes
    generation: int
    era: int
    settled: frozenset[int]
    failures: dict[int, int]
    #: Offset of the latest witness.
    witness: int | None
    tenure: int
    #: What the next owner is to hold back, by offset; with the time left.
    handed_over: dict[int, tuple[Left, float]]


@dataclass(slots=True)
class Durable:
    """What rows acknowledged so far hold of one partition."""

    era: int
    start: int
    settled: set[int] = field(default_factory=set)
    failures: dict[int, int] = field(default_factory=dict)
    witness: int | None = None


class Round(NamedTuple):
    """A fetch and a pull."""

    number: int
    new: list[int | None]
    client: str
    group: str
    max_messages: int
    ack_wait: float


groups = st.sampled_from(("stable", "stable", "stable", "canary"))
rounds = st.builds(Round, numbers, records, st.sampled_from("ABC"), groups, st.integers(1, 4), waits)


class Sharing(NamedTuple):
    weights: dict[str, int]
    by: By


sharings = st.builds(Sharing, st.sampled_from(WEIGHTS), st.sampled_from(("message", "key")))


class Log:
    """One partition of the topic, and the consumer's place in it."""

    def __init__(self) -> None:
        self.sizes: list[int | None] = []
        self.position = 0

    def grow(self, offset: int) -> None:
        self.sizes.extend([1] * (offset - len(self.sizes)))

    def read(self, asked: int, after: int) -> tuple[list[FakeMessage], dict[int, int]]:
        sizes = {o: size for o in range(asked, after) if (size := self.sizes[o]) is not None}
        return [message(offset, size) for offset, size in sizes.items()], sizes


def message(offset: int, size: int) -> FakeMessage:
    key = key_of(offset, size)
    return FakeMessage(offset, b"x" * (size - len(key or b"")), key)


def places_of(partition: PartitionQueue) -> dict[int, tuple[Place, str | None, int]]:
    """Every message with its only place and its size; one that stands in two fails here."""
    found: list[tuple[Message, Place, str | None]] = [(m, Place.FRESH, None) for m in partition.fresh]
    blocked = partition.key_order._blocked.values() if partition.key_order is not None else ()
    found += [(message, Place.BLOCKED, None) for messages in blocked for message in messages]
    found += [(spent.message, Place.SPENT, spent.client or None) for spent in partition.spent.values()]
    found += [(run.message(o), Place.IN_FLIGHT, run.client) for o, run in partition.in_flight.items()]
    found += [(delayed.message, Place.DELAYED, None) for delayed in partition.delayed.values()]
    for offset in partition.returned:
        entry = partition.returned.get(offset)
        assert entry is not None
        found.append((entry.message, Place.RETURNED, entry.barred))
    places = {message.offset: (place, client, size_of(message)) for message, place, client in found}
    assert len(found) == len(places)
    assert not places.keys() & set(partition.sleepers)
    return places | {offset: (Place.ASLEEP, None, 0) for offset in partition.sleepers}


def naive_places_of(partition: NaivePartition) -> dict[int, tuple[Place, str | None, int]]:
    """The same. Who failed what is delayed is not looked at before it is over."""
    resting = (Place.DELAYED, Place.ASLEEP)
    return {
        offset: (
            held.place,
            None if held.place in resting else held.client,
            held.weight(),
        )
        for offset, held in partition.held.items()
    }


def refs_of(answer: Answer) -> list[LeaseRef]:
    return [
        LeaseRef(run.partition, run.era, message.offset, run.delivery_count, run.batch)
        for run in answer.runs
        for message in run.messages
    ]


def described(settling: Settling, outcome: SettleOutcome) -> Any:
    counts = Counter({what: getattr(outcome, what) for what in ("acked", "nacked", "extended", "rejected")})
    pending = {number: pending.acked for number, pending in settling.pending.items()}
    rejects = [(run.partition, message.offset) for _, run in settling.rejects for message in run.messages]
    return +counts, sorted(map(repr, outcome.results)), pending, sorted(rejects)


def described_naively(outcome: Outcome) -> Any:
    return (
        +outcome.counts,
        sorted(map(repr, outcome.results)),
        dict(outcome.pending),
        sorted(r[:2] for r in outcome.rejects),
    )
