"""Broadcast: each group is handed everything, so its part of a history is judged as one of its own. Pure.

A group that is alive nowhere for `--client-ttl` is dropped, and one of that name that comes later begins anew: at the
newest message, and nothing that was done before counts. Each time is a life of its own. Where nobody knows whether it
was dropped two lives are assumed: of what the first one left behind nothing is asked then, but deliveries that it had
counted may still count in the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from msgspec.structs import replace

from support.histories.events import (
    AnyEvent,
    Began,
    Launched,
    Pulled,
    Pulling,
    Remade,
    Rewound,
    Settled,
    Settling,
    Struck,
)

#: A worker may have heard of a client for the last time before its answer arrived.
_ON_ITS_WAY = 2.0
#: A group that was last heard of so much longer ago than the ttl has certainly been dropped.
_DROPPED_WITHIN = 5.0


@dataclass(slots=True, eq=False)
class Life:
    group: str
    #: When it was first asked for, which may have been in vain, and first answered: what is written later is due to it.
    asked: float
    joined: float = inf
    #: From when on it may have been dropped.
    until: float = inf
    #: The life of this group that it may be the rest of; none: it certainly was not there before.
    before: Life | None = None
    #: Partition -> the highest offset that anybody had been handed before it was asked for, and when.
    offered: dict[int, tuple[int, float]] = field(default_factory=dict)
    _pulls: set[int] = field(default_factory=set)
    _leases: set[int] = field(default_factory=set)
    _clients: set[str] = field(default_factory=set)

    @property
    def anew(self) -> bool:
        return self.before is None

    def part(self, events: Sequence[AnyEvent]) -> Iterator[tuple[int, AnyEvent]]:
        """What belongs to it of a history, and what is no group's, each with its line."""
        kept: dict[int, list[int]] = {}
        for line, event in enumerate(events, 1):
            match event:
                case Pulling() | Pulled():
                    if event.op in self._pulls:
                        yield line, event
                case Settling():
                    kept[event.op] = mine = [n for n, one in enumerate(event.entries) if self._has(event, one.lease)]
                    if mine:
                        yield line, replace(event, entries=[event.entries[n] for n in mine])
                case Settled():
                    if mine := kept[event.op]:
                        statuses = [event.statuses[n] for n in mine] if event.statuses else []
                        yield line, replace(event, statuses=statuses)
                case _:
                    yield line, event

    def _has(self, event: Settling, lease: int) -> bool:
        return lease in self._leases or (lease == 0 and event.client in self._clients)

    def add(self, asked: Pulling, end: Pulled | None) -> None:
        self._pulls.add(asked.op)
        self._clients.add(asked.client)
        if end is not None:
            self._leases.update(message.lease for message in end.messages)
            if _is_heard(end):
                self.joined = min(self.joined, end.at)


def lives(events: Sequence[AnyEvent]) -> list[Life]:
    """Those of all groups of a history of broadcast, in the order in which they began."""
    ttl = next((event.plan.get("client_ttl_ms", 10_000) for event in events if isinstance(event, Began)), 0) / 1000
    ends = {event.op: event for event in events if isinstance(event, Pulled)}
    sorter = _Sorter(ttl, ends)
    for event in events:
        sorter.take(event)
    last = events[-1].at if events else 0.0
    for group, life in sorter.now.items():
        if sorter.heard[group] + ttl - _ON_ITS_WAY < last:
            life.until = sorter.heard[group] + ttl - _ON_ITS_WAY
    return sorter.all


class _Sorter:
    def __init__(self, ttl: float, ends: Mapping[int, Pulled]) -> None:
        self.all: list[Life] = []
        #: By group: its life, when it was heard of last for certain, and until when it may have been.
        self.now: dict[str, Life] = {}
        self.heard: dict[str, float] = {}
        self._stirred: dict[str, float] = {}
        self._ttl = ttl
        self._ends = ends
        self._groups: dict[str, str] = {}
        #: Since then no worker was started, which grants all groups a while more, and nothing was struck.
        self._calm_since = 0.0
        #: By partition: the highest offset that was handed to anybody, and when.
        self._offered: dict[int, tuple[int, float]] = {}

    def take(self, event: AnyEvent) -> None:
        match event:
            case Pulling():
                self._pulling(event)
            case Pulled():
                for message in event.messages:
                    if message.offset > self._offered.get(message.partition, (-1, 0.0))[0]:
                        self._offered[message.partition] = message.offset, event.at
            case Settling(client=client):
                longest = max((entry.ack_wait_ms or 0 for entry in event.entries), default=0)
                if client in self._groups:
                    self._stir(self._groups[client], event.at + longest / 1000)
            case Launched() | Struck():
                self._calm_since = event.at
            case Remade() | Rewound():
                # What had been offered is to come again.
                self._offered.clear()
                for life in self.all:
                    life.offered.clear()
            case _:
                pass

    def _pulling(self, event: Pulling) -> None:
        end = self._ends.get(event.op)
        if end is not None and end.outcome == "refused":
            return
        group, dropped = event.group, self.heard.get(event.group, -inf) + self._ttl - _ON_ITS_WAY
        if event.at > dropped:
            if group in self.now:
                self.now[group].until = dropped
            certainly = max(self._stirred.get(group, -inf), self._calm_since) + self._ttl + _DROPPED_WITHIN
            before = self.now.get(group) if event.at <= certainly else None
            life = self.now[group] = Life(group, event.at, before=before, offered=dict(self._offered))
            self.all.append(life)
            self.heard[group] = event.at
        self.now[group].add(event, end)
        self._groups[event.client] = group
        ended = end.at if end is not None else inf
        holds_nothing = end is not None and _is_heard(end) and not end.messages
        if end is not None and _is_heard(end):
            self.heard[group] = max(self.heard[group], ended)
        self._stir(group, ended if holds_nothing else ended + event.ack_wait_ms / 1000)

    def _stir(self, group: str, until: float) -> None:
        self._stirred[group] = max(self._stirred.get(group, -inf), until)


def _is_heard(end: Pulled) -> bool:
    return end.outcome == "answered" and end.status in (200, 204)
