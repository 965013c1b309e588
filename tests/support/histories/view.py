"""A history put in order for judging: messages, deliveries, tries to settle, and between which moments each happened.

Rules for this file: pure, no I/O. What is not known is as wide as it may have been: whoever never got an answer may
have been served at any moment since asking.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from support.histories.events import (
    DONE,
    OK,
    AnyEvent,
    Committed,
    DrainBegan,
    DrainEnded,
    Entry,
    Gone,
    Handed,
    Launched,
    Owned,
    Produced,
    Producing,
    Pulled,
    Pulling,
    Sampled,
    Settled,
    Settling,
    Struck,
)
from support.histories.spans import Spans

#: Partition and offset.
Place = tuple[int, int]

#: A settle whose answer nobody saw may work at any moment for so long: it waits for a rebalance, then for its row.
_MAY_STILL_WORK = 20.0


@dataclass(slots=True, eq=False)
class Message:
    """A message that was sent to Kafka. ``line`` and ``end_line`` are those of its two events."""

    asked: Producing
    line: int
    end: Produced | None = None
    end_line: int = 0

    @property
    def ok(self) -> bool:
        return self.end is not None and self.end.outcome == "ok"

    @property
    def place(self) -> Place | None:
        return (self.asked.partition, self.end.offset) if self.end and self.end.offset is not None else None


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
    def ack_wait(self) -> float:
        return self.asked.ack_wait_ms / 1000


@dataclass(slots=True, eq=False)
class Delivery:
    pull: Pull
    handed: Handed

    @property
    def place(self) -> Place:
        return self.handed.partition, self.handed.offset

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


@dataclass(slots=True)
class Trouble:
    began: float
    line: int
    what: str
    #: 0: not one worker in particular.
    worker: int = 0
    ended: float = inf
    strike: int = 0


class History:
    """Everything by what it belongs to."""

    def __init__(self, events: Iterable[AnyEvent]) -> None:
        self.messages: list[Message] = []
        self.at_place: dict[Place, Message] = {}
        self.by_body: dict[str, list[Message]] = defaultdict(list)
        self.pulls: list[Pull] = []
        self.deliveries: dict[Place, list[Delivery]] = defaultdict(list)
        self.attempts: list[Attempt] = []
        self.tries: dict[Place, list[Attempt]] = defaultdict(list)
        self.settles: list[tuple[Settling, int, Settled | None, int]] = []
        self.commits: list[tuple[Committed, int]] = []
        self.spans = Spans()
        self.troubles: list[Trouble] = []
        self.drain_began = inf
        self.drain: DrainEnded | None = None
        self.drain_line = 0
        self.last_line = 0
        self._leases: dict[int, Delivery] = {}
        self._messages: dict[int, Message] = {}
        self._pulls: dict[int, Pull] = {}
        self._settles: dict[int, int] = {}
        self._entries: dict[int, list[Attempt]] = {}
        for line, event in enumerate(events, 1):
            self.last_line = line
            self._take(event, line)
        for deliveries in self.deliveries.values():
            deliveries.sort(key=lambda delivery: (delivery.seen, delivery.sent))

    def _take(self, event: AnyEvent, line: int) -> None:
        match event:
            case Producing():
                message = self._messages[event.op] = Message(event, line)
                self.messages.append(message)
                self.by_body[event.body].append(message)
            case Produced():
                message = self._messages[event.op]
                message.end, message.end_line = event, line
                if message.ok and message.place:
                    self.at_place[message.place] = message
            case Pulling():
                pull = self._pulls[event.op] = Pull(event, line)
                self.pulls.append(pull)
            case Pulled():
                self._pulled(event, line)
            case Settling():
                self._settling(event, line)
            case Settled():
                self._settled(event, line)
            case Committed():
                self.commits.append((event, line))
            case Sampled():
                self.spans.sampled(event)
            case Launched():
                self.spans.launched(event)
            case Gone():
                self.spans.gone(event)
            case Owned():
                self.spans.owned(event, line)
            case Struck():
                self._struck(event, line)
            case DrainBegan():
                self.drain_began = event.at
            case DrainEnded():
                self.drain, self.drain_line = event, line

    def _struck(self, event: Struck, line: int) -> None:
        if not event.over:
            self.troubles.append(Trouble(event.at, line, event.trouble, worker=event.worker, strike=event.strike))
            return
        began = next(trouble for trouble in reversed(self.troubles) if trouble.strike == event.strike)
        began.ended = event.at

    def _pulled(self, event: Pulled, line: int) -> None:
        pull = self._pulls[event.op]
        pull.end, pull.end_line = event, line
        for handed in event.messages:
            delivery = Delivery(pull, handed)
            pull.deliveries.append(delivery)
            self.deliveries[delivery.place].append(delivery)
            self._leases[handed.lease] = delivery

    def _settling(self, event: Settling, line: int) -> None:
        self._settles[event.op] = len(self.settles)
        self.settles.append((event, line, None, 0))
        attempts = [Attempt(event, line, entry, self._leases[entry.lease]) for entry in event.entries]
        self._entries[event.op] = attempts
        self.attempts += attempts
        for attempt in attempts:
            self.tries[attempt.delivery.place].append(attempt)

    def _settled(self, event: Settled, line: int) -> None:
        number = self._settles[event.op]
        asked, asked_line, _, _ = self.settles[number]
        self.settles[number] = (asked, asked_line, event, line)
        statuses: list[str | None] = [*event.statuses] or [None] * len(asked.entries)
        for attempt, status in zip(self._entries[event.op], statuses, strict=True):
            attempt.end, attempt.end_line, attempt.status = event, line, status

    # Questions -------------------------------------------------------------------------------------------------------

    def troubled(self, since: float, until: float) -> bool:
        return any(trouble.began <= until and trouble.ended >= since for trouble in self.troubles)

    def paused(self, since: float, until: float, worker: int) -> float:
        """For how long of this time this worker could not have answered, being stopped."""
        return sum(
            max(0.0, min(until, trouble.ended) - max(since, trouble.began))
            for trouble in self.troubles
            if trouble.what == "SIGSTOP" and trouble.worker in (0, worker)
        )

    def healthy(self, since: float, until: float) -> bool:
        """Whether all workers were asked all along, and said each time that nothing was wrong with them."""
        return not self.troubled(since, until) and self.spans.healthy(since, until)

    def may_be_lent(self, delivery: Delivery) -> bool:
        """Whether the worker that wrote it to the client may have had it on loan, and nothing shows that it said so.

        Then its owner may have given the message to another client, uncounted: the connection between them was lost,
        or nothing was heard for the 2 s of a loan.
        """
        if self.spans.is_alone(delivery.sent, delivery.seen):
            return False
        if self.spans.owner(delivery.seen, delivery.place[0]) == delivery.pull.asked.worker:
            return False
        return not any(attempt.delivery is delivery and attempt.status == OK for attempt in self.tries[delivery.place])
