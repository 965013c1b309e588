"""What bin/bench asks of each system that it compares, and what a run answers.

A system is an object of one variant: fanout with JSON is one and fanout with msgpack another, each by its own `name`.
The runner uses it so, in each round once, and never two systems at the same time:

    await system.start(where)
    await system.fill(topic, messages=..., size=..., partitions=...)
    run = await system.drain(topic, workload)        # more of these where `keeps_messages`
    await system.stop()                              # also when something above failed, also when start did

Rules for an implementation:
- Servers listen on free ports of 127.0.0.1 and write nothing outside of `where`. What is downloaded or built may go to
  `CACHE`, where the next run finds it.
- A run counts what arrived by what is in the messages, never by what was asked for. `fill` begins each message with
  `label(number)`, its number in 8 bytes, so that losses and duplicates show.
- The clock begins when the first client has its first message and ends with the last ack that the system calls durable
  (`durability` says what that means there). What happens before, joining a group say, is `until_first`.
- CPU is taken over the same stretch as the clock where the clients' process can tell, and over the whole life of the
  clients' process otherwise; then `cpu_note` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

ROOT = Path(__file__).resolve().parents[2]
#: For what peers download and build, kept between runs.
CACHE = ROOT / ".local" / "bench"


class CannotRun(Exception):
    """This system cannot be started, or cannot do this workload; the text is the reason, printed in the results."""


@dataclass(frozen=True)
class Drain:
    """Take and ack all that a filled topic holds, as fast as it goes."""

    messages: int
    #: Bytes of each message's value.
    size: int
    partitions: int
    #: Concurrent takers: connections, or members of a consumer group, as the system has it.
    clients: int
    #: How many messages are asked for at once, and acked at once.
    batch: int
    #: Whether the ack rides on the request for the next batch, where a system can do that.
    riding: bool = True
    encoding: Literal["json", "msgpack"] = "json"


@dataclass(frozen=True)
class Paced:
    """Produce at a steady rate while clients wait; each message says when it was produced (`stamped`).

    Rules for an implementation, beside those above:
    - All clients wait, as the system itself says, for `settled` seconds before the first message is produced, by the
      producer that all systems share (`pacing.py`).
    - Acks are requests of their own where a system has such, so that they can be timed.
    - "hand-out" ends when the client has read and parsed the answer, and could begin to work.
    - Everything in the run is of the messages after the warm-up, and the clock and the CPU clocks begin with the first
      one of these; that none of all is lost is checked all the same.
    """

    #: Messages a second.
    rate: int
    seconds: float
    size: int = 100
    partitions: int = 4
    clients: int = 8
    batch: int = 100
    #: Seconds at the same rate, in front of the others.
    warm_up: float = 1.0
    settled: float = 1.0

    @property
    def uncounted(self) -> int:
        """Messages of the warm-up: the first ones."""
        return round(self.rate * self.warm_up)

    @property
    def messages(self) -> int:
        """All of them, with those of the warm-up."""
        return self.uncounted + round(self.rate * self.seconds)


@dataclass(frozen=True)
class Percentiles:
    """Of a duration, in milliseconds."""

    p50: float
    p99: float
    p999: float


@dataclass(frozen=True)
class Cpu:
    """CPU seconds of a run, user and system, by who used them; None where a system has no such part."""

    #: What stands between Kafka and its clients: the worker, the proxy; of NATS and ElasticMQ, their server.
    server: float | None
    #: Kafka's broker with what it needs (ZooKeeper, where a system uses one).
    broker: float | None
    #: The load generator, or the clients' processes.
    clients: float


@dataclass(frozen=True)
class Run:
    """What one run of a workload came to."""

    #: Different messages that arrived and were acked.
    messages: int
    #: Arrivals beyond the first of a message.
    duplicates: int
    #: From the first message at a client to the last durable ack.
    seconds: float
    #: From when the clients were started to the first message at one of them.
    until_first: float
    cpu: Cpu
    #: By what was timed: "pull", "ack", or of a paced run "hand-out" (produced to received), and of its producer "late"
    #: (behind the pace) and "produced" (from the stamp to the broker's answer: what no system can be much faster than).
    latencies: Mapping[str, Percentiles] = field(default_factory=dict)
    cpu_note: str = ""

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


class System(Protocol):
    """One variant of one system, see the top of this file."""

    #: Short, lower case, words joined by "-": what `--peers` selects, by this or by its first words.
    name: str
    #: Where an ack is when it counts as done: which disks or processes have to fail for it to be forgotten.
    durability: str
    #: What `Drain.batch` and `Drain.clients` are there.
    batch_means: str
    #: Whether a topic can be drained again, by a new consumer group, without filling it anew.
    keeps_messages: bool

    def versions(self) -> Mapping[str, str]:
        """Of the server, of the client library, of the language's runtime. Called after `start`."""

    async def start(self, where: Path) -> None:
        """Install what is missing, through the registries' ordinary clients, and start the servers.

        Raises CannotRun, with what is missing and how to get it.
        """

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        """Make a topic, or what the system has in its place, and put the messages in, evenly over its partitions."""

    async def drain(self, topic: str, workload: Drain) -> Run:
        """Take and ack everything, with new clients that nobody remembers.

        Raises CannotRun for a workload that the system has no equivalent of.
        """

    async def paced(self, topic: str, workload: Paced) -> Run:
        """Make the topic, produce at the rate and take at the same time; raises CannotRun where it is not built."""

    async def stop(self) -> None:
        """End all that was started, also after a `start` that failed half way; never raises for what is gone."""


def label(number: int, size: int) -> bytes:
    """The value of a message: its number, big endian in 8 bytes, and zeros up to `size` bytes (8 at least)."""
    return number.to_bytes(8, "big").ljust(size, b"\0")


def stamped(number: int, unix_ns: int, size: int) -> bytes:
    """As `label`, followed by when it was produced, in 8 bytes (16 at least)."""
    return (number.to_bytes(8, "big") + unix_ns.to_bytes(8, "big")).ljust(size, b"\0")


def number_of(value: bytes) -> int:
    """What `label` and `stamped` put in front."""
    return int.from_bytes(value[:8], "big")


def stamp_of(value: bytes) -> int:
    """When it was produced, Unix time in ns, as `stamped` wrote it."""
    return int.from_bytes(value[8:16], "big")
