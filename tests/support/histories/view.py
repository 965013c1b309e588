"""A history put in order for judging: messages, deliveries, tries to settle, and between which moments each happened.

Rules for this file: pure, no I/O. What is not known is as wide as it may have been: whoever never got an answer may
have been served at any moment since asking.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import inf

from support.histories.eras import Eras, Place
from support.histories.events import (
    OK,
    AnyEvent,
    Began,
    Changed,
    Changing,
    Committed,
    Compacted,
    DrainBegan,
    DrainEnded,
    Gone,
    Handed,
    Launched,
    Owned,
    Produced,
    Producing,
    Pulled,
    Pulling,
    Remade,
    Rewound,
    Sampled,
    Settled,
    Settling,
    SharesRead,
    Struck,
    Trimmed,
)
from support.histories.lives import Life
from support.histories.records import Attempt, Delivery, Forgery, Message, Pull
from support.histories.shares_log import SharesLog
from support.histories.spans import Spans
from support.histories.troubled import Troubled


class History(Troubled):
    """Everything by what it belongs to."""

    def __init__(self, events: Sequence[AnyEvent], life: Life | None = None, *, before: History | None = None) -> None:
        """``life``: of broadcast, the part of one group for as long as it was there.

        ``before``: the part of the life that this one may be the rest of.
        """
        super().__init__()
        self.life = life
        self.before = before
        self.messages: list[Message] = []
        self.by_body: dict[str, list[Message]] = defaultdict(list)
        self.pulls: list[Pull] = []
        self.deliveries: dict[Place, list[Delivery]] = defaultdict(list)
        self.attempts: list[Attempt] = []
        self.tries: dict[Place, list[Attempt]] = defaultdict(list)
        self.forgeries: list[Forgery] = []
        self.settles: list[tuple[Settling, int, Settled | None, int]] = []
        self.commits: list[tuple[Committed, int]] = []
        self.eras = Eras()
        self.spans = Spans()
        #: Of the groups of balanced delivery.
        self.shares = SharesLog()
        self.order_by_key = False
        self.compacted = False
        #: How many records compaction had removed when somebody looked last.
        self.removed = 0
        self.drain_began = inf
        self.drain: DrainEnded | None = None
        self.drain_line = 0
        self.last_line = 0
        self._at: dict[tuple[int, int, int], Message] = {}
        self._leases: dict[int, Delivery] = {}
        self._messages: dict[int, Message] = {}
        self._pulls: dict[int, Pull] = {}
        self._settles: dict[int, int] = {}
        self._entries: dict[int, list[Attempt | Forgery]] = {}
        for line, event in enumerate(events, 1) if life is None else life.part(events):
            self.last_line = line
            self._take(event, line)
        for deliveries in self.deliveries.values():
            deliveries.sort(key=lambda delivery: (delivery.seen, delivery.sent))
        for tries in self.tries.values():
            tries.sort(key=lambda attempt: attempt.sent)

    def _take(self, event: AnyEvent, line: int) -> None:
        match event:
            case Began():
                self.compacted = bool(event.plan.get("compacted"))
                self.order_by_key = event.plan.get("order") == "key"
            case Producing():
                message = self._messages[event.op] = Message(event, line, self.eras.log)
                self.messages.append(message)
                self.by_body[event.body].append(message)
            case Produced():
                message = self._messages[event.op]
                message.end, message.end_line = event, line
                if message.ok and event.offset is not None:
                    self._at[message.log, message.asked.partition, event.offset] = message
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
            case Struck():
                self.struck(event, line)
            case Changing() | Changed() | SharesRead():
                self.shares.take(event, line)
            case DrainBegan():
                self.drain_began = event.at
            case DrainEnded():
                self.drain, self.drain_line = event, line
            case Remade() | Rewound() | Trimmed() | Compacted():
                self._operated(event)
            case Sampled() | Launched() | Gone() | Owned():
                self._of_a_worker(event, line)

    def _operated(self, event: Remade | Rewound | Trimmed | Compacted) -> None:
        match event:
            case Remade():
                self.eras.remade(event)
                self.spans.group_deleted()
            case Rewound():
                before = (asked.offsets for asked, _ in reversed(self.commits) if asked.at <= event.sent)
                self.eras.rewound(event, next(before, {}))
            case Trimmed():
                self.eras.trimmed(event)
            case Compacted():
                self.removed = sum(event.removed.values())

    def _of_a_worker(self, event: Sampled | Launched | Gone | Owned, line: int) -> None:
        match event:
            case Sampled():
                self.spans.sampled(event)
            case Launched():
                self.spans.launched(event)
            case Gone():
                self.spans.gone(event)
            case Owned():
                self.spans.owned(event, line)

    def _pulled(self, event: Pulled, line: int) -> None:
        pull = self._pulls[event.op]
        pull.end, pull.end_line = event, line
        for handed in event.messages:
            delivery = Delivery(pull, handed, self._place_of(handed, event.at))
            pull.deliveries.append(delivery)
            self.deliveries[delivery.place].append(delivery)
            self._leases[handed.lease] = delivery

    def _place_of(self, handed: Handed, seen: float) -> Place:
        """Bodies tell logs apart."""
        sent = self.by_body.get(handed.body)
        log = sent[-1].log if sent else self.eras.log
        return Place(handed.partition, handed.offset, self.eras.in_log(handed.partition, log, seen))

    def _settling(self, event: Settling, line: int) -> None:
        self._settles[event.op] = len(self.settles)
        self.settles.append((event, line, None, 0))
        tried: list[Attempt | Forgery] = []
        for entry in event.entries:
            if entry.forged:
                forgery = Forgery(event, line, entry)
                self.forgeries.append(forgery)
                tried.append(forgery)
            else:
                attempt = Attempt(event, line, entry, self._leases[entry.lease])
                self.attempts.append(attempt)
                self.tries[attempt.delivery.place].append(attempt)
                tried.append(attempt)
        self._entries[event.op] = tried

    def _settled(self, event: Settled, line: int) -> None:
        number = self._settles[event.op]
        asked, asked_line, _, _ = self.settles[number]
        self.settles[number] = (asked, asked_line, event, line)
        statuses: list[str | None] = [*event.statuses] or [None] * len(asked.entries)
        for attempt, status in zip(self._entries[event.op], statuses, strict=True):
            attempt.end, attempt.end_line, attempt.status = event, line, status

    # Messages --------------------------------------------------------------------------------------------------------

    def message(self, place: Place) -> Message | None:
        """What was produced there; none: nobody knows of anything."""
        return self._at.get((self.eras.log_of(place), place.partition, place.offset))

    def produced(self) -> Iterator[tuple[Message, Place]]:
        """Those that certainly are in a log, or were, each at its place in the latest era of that."""
        for (log, partition, offset), message in self._at.items():
            yield message, self.eras.places(partition, offset, log)[-1]

    def back(self) -> Iterator[History]:
        """This part, and those before it of which something may be remembered in it."""
        part: History | None = self
        while part is not None:
            yield part
            part = part.before

    def places(self, message: Message) -> list[Place]:
        """One for each era of its log, of one whose offset is known."""
        assert message.offset is not None
        return self.eras.places(message.asked.partition, message.offset, message.log)

    def tries_before(self, place: Place) -> Iterator[Attempt]:
        """In this era, and in earlier ones of which something may be remembered."""
        for one in self.eras.before(place):
            yield from self.tries.get(one, ())

    def need_not_come(self, place: Place) -> float:
        """From when on this message may be missing, whatever was done to it."""
        message = self.message(place)
        if message is None:
            return self.gone_at(place)
        if self.life is not None and message.asked.at <= self.life.joined:
            return -inf
        return min(self.gone_at(place), self._superseded.get(id(message), inf))

    def gone_at(self, place: Place) -> float:
        """From when on it need not come any more, and leases on it may count for nothing."""
        return min(self.eras.gone_at(place), self.life.until if self.life is not None else inf)

    @cached_property
    def _superseded(self) -> dict[int, float]:
        """When a later message of the same key was sent, by the earlier one: compaction may remove that."""
        if not self.compacted:
            return {}
        by_key: dict[tuple[int, int, str | None], list[Message]] = defaultdict(list)
        for message in self.messages:
            if message.end is None or message.end.outcome != "aborted":
                by_key[message.log, message.asked.partition, message.asked.key].append(message)
        superseded: dict[int, float] = {}
        for messages in by_key.values():
            # Of one whose outcome nobody knows, nobody knows where it is either: behind them all, perhaps.
            messages.sort(key=lambda message: inf if message.offset is None else message.offset, reverse=True)
            earliest = inf
            for message in messages:
                superseded[id(message)] = earliest
                earliest = min(earliest, message.asked.at)
        return superseded

    @cached_property
    def unseen(self) -> list[Pull]:
        """Pulls that may have been handed something that is not in the history."""
        return [pull for pull in self.pulls if pull.unseen]

    @cached_property
    def _unseen_times(self) -> tuple[list[float], list[float]]:
        return sorted(pull.sent for pull in self.unseen), sorted(pull.ended for pull in self.unseen)

    def unseen_between(self, since: float, until: float) -> int:
        """How many of those were sent before ``until`` and had not ended at ``since``, which is not later."""
        sent, ended = self._unseen_times
        return bisect_left(sent, until) - bisect_right(ended, min(since, until))

    # Troubles --------------------------------------------------------------------------------------------------------

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
        if self.spans.owner(delivery.seen, delivery.place.partition) == delivery.pull.asked.worker:
            return False
        return not any(attempt.delivery is delivery and attempt.status == OK for attempt in self.tries[delivery.place])
