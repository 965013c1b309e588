"""What a history is put together from: events that belong together, and what they say between them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from support.histories.eras import Place
from support.histories.events import DONE, OK, Entry, Handed, Produced, Producing, Pulled, Pulling, Settled, Settling

#: A settle whose answer nobody saw may work at any moment for so long: it waits for a rebalance, then for its row.
_MAY_STILL_WORK = 20.0

#: What is done to no worker and no server.
_HARMS_NOBODY = frozenset({"weights changed", "canary fails"})
_NO_ANSWERS = frozenset({"SIGSTOP", "leader paused", "cut from clients", "cut off", "slow link", "delayed link"})
#: Who is struck so may not hear for a while what stands on the board.
_DEAF = _NO_ANSWERS | {
    "cut from brokers", "cut from workers", "broker killed", "broker paused", "all brokers killed", "broker disk full",
}  # fmt: skip
#: Who is told to end or to move writes down first what it knows.
_IN_GOOD_ORDER = _HARMS_NOBODY | {
    "SIGTERM", "worker added", "worker removed", "rolling restart", "partitions added", "clock step",
    "zookeeper killed", "zookeeper paused", "all zookeepers killed", "cut from zookeepers", "retention",
}  # fmt: skip
_OF_THE_NETWORK = frozenset(
    {
        "cut from brokers", "cut from zookeepers", "cut from workers", "cut from clients", "cut off", "slow link",
        "delayed link",
    }
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Message:
    """A message that was sent to Kafka. ``line`` and ``end_line`` are those of its two events."""

    asked: Producing
    line: int
    #: Which log of the topic's name it was sent to.
    log: int
    end: Produced | None = None
    end_line: int = 0

    @property
    def ok(self) -> bool:
        return self.end is not None and self.end.outcome == "ok"

    @property
    def offset(self) -> int | None:
        return self.end.offset if self.end else None


@dataclass(slots=True, eq=False)
class Pull:
    asked: Pulling
    line: int
    end: Pulled | None = None
    end_line: int = 0
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def sent(self) -> float:
        return self.asked.at

    @property
    def ended(self) -> float:
        return self.end.at if self.end else inf

    @property
    def unseen(self) -> bool:
        """Whether it may have been handed something that is not in the history."""
        return self.end is None or self.end.outcome in ("unknown", "unwritten")

    @property
    def group(self) -> str:
        return self.asked.group

    @property
    def ack_wait(self) -> float:
        return self.asked.ack_wait_ms / 1000


@dataclass(slots=True, eq=False)
class Delivery:
    pull: Pull
    handed: Handed
    place: Place

    @property
    def line(self) -> int:
        return self.pull.end_line

    @property
    def sent(self) -> float:
        return self.pull.sent

    @property
    def seen(self) -> float:
        return self.pull.ended

    @property
    def group(self) -> str:
        return self.pull.asked.group

    @property
    def count(self) -> int:
        return self.handed.delivery_count


@dataclass(slots=True, eq=False)
class Attempt:
    """One entry of a settle."""

    asked: Settling
    line: int
    entry: Entry
    delivery: Delivery
    end: Settled | None = None
    end_line: int = 0
    #: As the worker answered; none: nobody knows what became of it.
    status: str | None = None

    @property
    def sent(self) -> float:
        return self.asked.at

    @property
    def ended(self) -> float:
        return self.end.at if self.end else inf

    @property
    def known(self) -> bool:
        return self.status is not None and self.status != "retry"

    @property
    def works_until(self) -> float:
        return self.ended if self.known else self.sent + _MAY_STILL_WORK

    @property
    def settles(self) -> bool:
        """Whether it may settle its message: an ack or a reject that was not refused."""
        if self.entry.verb == "ack":
            return not self.known or self.status in DONE
        return self.entry.verb == "reject" and (not self.known or self.status in (OK, "already_settled"))

    @property
    def has_settled(self) -> bool:
        return self.known and self.settles


@dataclass(slots=True, eq=False)
class Forgery:
    """An entry of a settle with a token that no worker of this cluster ever gave."""

    asked: Settling
    line: int
    entry: Entry
    end: Settled | None = None
    end_line: int = 0
    status: str | None = None


@dataclass(slots=True)
class Trouble:
    began: float
    line: int
    what: str
    #: 0: not one worker in particular.
    worker: int = 0
    ended: float = inf
    strike: int = 0

    @property
    def harms(self) -> bool:
        return self.what not in _HARMS_NOBODY

    @property
    def silences(self) -> bool:
        """Whether the worker may not have answered meanwhile."""
        return self.what in _NO_ANSWERS

    @property
    def deafens(self) -> bool:
        """Whether workers may not have heard meanwhile what stands on the board."""
        return self.what in _DEAF

    @property
    def in_good_order(self) -> bool:
        return self.what in _IN_GOOD_ORDER

    @property
    def felt_until(self) -> float:
        """What was sent in vain is sent again after pauses that double, so as much later as it lasted."""
        return self.ended + (self.ended - self.began + 1.0 if self.what in _OF_THE_NETWORK else 0.0)
