"""What a history is made of: one event a line of JSON, in the order in which the runner saw them.

Whatever is asked of Kafka or of the worker is two events with one number, `op`: one written before it is sent, one when
its outcome is known. So whatever happened to it happened between the two. Times are seconds since the history began,
by the monotonic clock of the runner. Leases are numbered; the tokens themselves are of no use to a judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

Verb = Literal["ack", "nack", "extend", "reject"]
#: ``refused``: nobody was there to be asked. ``unknown``: the connection ended before the answer, whoever ended it.
#: ``unwritten``: we hung up with so much of the answer to come that no kernel can have taken it.
Outcome = Literal["answered", "refused", "unknown", "unwritten"]
Trouble = Literal[
    # To one worker.
    "kill -9", "SIGTERM", "SIGSTOP", "worker removed", "clock step",
    # To the network between one worker and others; what is under way waits, nothing is closed, nobody is told.
    "cut from brokers", "cut from zookeepers", "cut from workers", "cut from clients", "cut off", "slow link",
    "delayed link",
    # To all workers.
    "worker added", "rolling restart",
    # To servers.
    "broker killed", "broker paused", "all brokers killed", "broker disk full", "zookeeper killed", "zookeeper paused",
    "all zookeepers killed",
    # To whoever leads.
    "leader killed", "leader paused",
    # To the shares of groups, and by the clients of one that has a share.
    "weights changed", "canary fails",
    # To the topic, and by operators to the group.
    "partitions added", "topic made anew", "retention", "operator's reset",
]  # fmt: skip

#: The group of who names none, and the baseline of all others.
STABLE = "stable"
#: The status of an entry that was plainly done, for which `docs/api.md` has none.
OK = "ok"
#: An ack so answered needs nothing more.
DONE = frozenset({OK, "late", "already_settled"})


class Event(Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    at: float


class Began(Event, frozen=True, kw_only=True, tag="began"):
    plan: dict[str, Any]


class Producing(Event, frozen=True, kw_only=True, tag="producing"):
    op: int
    partition: int
    key: str | None
    #: The value, or what tells it apart where it is long.
    body: str


class Produced(Event, frozen=True, kw_only=True, tag="produced"):
    op: int
    outcome: Literal["ok", "aborted", "unknown"]
    offset: int | None = None
    error: str = ""


class Pulling(Event, frozen=True, kw_only=True, tag="pulling"):
    op: int
    client: str
    #: Which worker is asked: starts are counted from 1, over all workers of the history.
    worker: int
    wait_ms: int
    ack_wait_ms: int
    max_messages: int = 1
    group: str = STABLE


class Handed(Struct, frozen=True, kw_only=True):
    """One message of an answer."""

    lease: int
    partition: int
    offset: int
    delivery_count: int
    key: str | None
    body: str


class Pulled(Event, frozen=True, kw_only=True, tag="pulled"):
    op: int
    outcome: Outcome
    status: int = 0
    messages: list[Handed] = []
    empty: str = ""
    error: str = ""


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One lease of a settle; a batch is written down as the leases it stands for."""

    verb: Verb
    #: 0 where the token is forged.
    lease: int
    delay_ms: int | None = None
    ack_wait_ms: int | None = None
    #: In which way the token is none that a worker of this cluster ever gave; empty: it is one.
    forged: str = ""


class Settling(Event, frozen=True, kw_only=True, tag="settling"):
    op: int
    client: str
    worker: int
    entries: list[Entry]
    durable: bool = True
    #: The pull that it rode along with.
    pull: int | None = None


class Settled(Event, frozen=True, kw_only=True, tag="settled"):
    op: int
    outcome: Outcome
    status: int = 0
    #: One for each entry.
    statuses: list[str] = []
    error: str = ""


class Struck(Event, frozen=True, kw_only=True, tag="nemesis"):
    """Written before it is done, and when it is over: the worker is ready again, the broker answers."""

    trouble: Trouble
    over: bool = False
    #: Which strike of the plan, counted from 1: its beginning and its end. 0 where strikes come one after another.
    strike: int = 0
    #: For people: what else there is to know of it.
    detail: str = ""
    #: The start of the worker that it is done to; 0: to a server, to all of them, or to the only one.
    worker: int = 0


class Launched(Event, frozen=True, kw_only=True, tag="launched"):
    """Written before the process is started: from here on it may be a member of the group."""

    worker: int


class Gone(Event, frozen=True, kw_only=True, tag="gone"):
    """Written before a process is killed, or when it has ended by itself."""

    worker: int


class Owned(Event, frozen=True, kw_only=True, tag="owned"):
    """What a worker has in a generation, as its own heartbeat says."""

    worker: int
    generation: int
    partitions: list[int]


class Sampled(Event, frozen=True, kw_only=True, tag="worker"):
    """What /v1/status said when it was asked between ``sent`` and ``at``."""

    sent: float
    worker: int
    generation: int
    degraded: list[str] = []


class Committed(Event, frozen=True, kw_only=True, tag="committed"):
    """The group's offsets, read between ``sent`` and ``at``."""

    sent: float
    offsets: dict[int, int]


class Weighed(Event, frozen=True, kw_only=True, tag="weighed"):
    """The resident memory of a worker's process."""

    worker: int
    rss_kib: int


class Grown(Event, frozen=True, kw_only=True, tag="grown"):
    """The topic has so many partitions, at the latest from ``at`` on."""

    sent: float
    partitions: int


class Trimmed(Event, frozen=True, kw_only=True, tag="trimmed"):
    """What is below these offsets was deleted from the log, between ``sent`` and ``at``, as retention does."""

    sent: float
    below: dict[int, int]


class Rewound(Event, frozen=True, kw_only=True, tag="rewound"):
    """An operator set the group's offsets to these, forwards or back, between ``sent`` and ``at``: a new era."""

    sent: float
    offsets: dict[int, int]


class Compacted(Event, frozen=True, kw_only=True, tag="compacted"):
    """So many of the records that were produced were found to be in the log no more."""

    removed: dict[int, int]


class Remade(Event, frozen=True, kw_only=True, tag="remade"):
    """The topic was deleted and made anew, between ``sent`` and ``at``: other messages, and offsets from 0 again."""

    sent: float
    partitions: int


class Shares(Struct, frozen=True, kw_only=True):
    """What holds of the shares of groups, as an answer says: its version, and the epoch in which that was made."""

    version: int
    made_in: int
    weights: dict[str, int]
    by: Literal["message", "key"] = "message"


class Changing(Event, frozen=True, kw_only=True, tag="changing"):
    """An operator asks for other shares."""

    op: int
    worker: int
    weights: dict[str, int]
    by: Literal["message", "key"] = "message"
    #: Whether the leader is to look after a group, and may change its weight by itself.
    guarded: bool = False
    #: The version and epoch that it is to be a change of; none: whatever holds.
    of: tuple[int, int] | None = None


class Changed(Event, frozen=True, kw_only=True, tag="changed"):
    op: int
    outcome: Outcome
    status: int = 0
    #: What holds now.
    shares: Shares | None = None
    error: str = ""


class SharesRead(Event, frozen=True, kw_only=True, tag="shares"):
    """What a worker said of the shares when it was asked between ``sent`` and ``at``."""

    sent: float
    worker: int
    shares: Shares


class DrainBegan(Event, frozen=True, kw_only=True, tag="drain"):
    """No more is produced and no more trouble made; from here on clients ack all they get."""


class DrainEnded(Event, frozen=True, kw_only=True, tag="drained"):
    """Where the logs end, and whether the group's offsets came to be just that."""

    complete: bool
    ends: dict[int, int]


AnyEvent = (
    Began | Producing | Produced | Pulling | Pulled | Settling | Settled | Struck | Launched | Gone | Owned | Sampled
    | Committed | Weighed | Grown | Trimmed | Rewound | Compacted | Remade | Changing | Changed | SharesRead
    | DrainBegan | DrainEnded
)  # fmt: skip

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_encoder = msgspec.json.Encoder()


def encode(event: AnyEvent) -> bytes:
    return _encoder.encode(event) + b"\n"


def read(path: Path) -> list[AnyEvent]:
    """The events of a file.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError: it is not a history.
    """
    return decode(path.read_bytes().splitlines())


def decode(lines: Iterable[bytes]) -> list[AnyEvent]:
    return [_decoder.decode(line) for line in lines]
