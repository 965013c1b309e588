"""Histories written by hand, one line after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from support.histories.events import (
    STABLE,
    AnyEvent,
    Began,
    Changed,
    Changing,
    Committed,
    Compacted,
    DrainBegan,
    DrainEnded,
    Entry,
    Gone,
    Handed,
    Launched,
    Outcome,
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
    Shares,
    SharesRead,
    Struck,
    Trimmed,
    Trouble,
    Verb,
)


@dataclass(slots=True)
class Script:
    """Each call is one event, or two with what lies between; times are given, numbers of ops are made up."""

    events: list[AnyEvent] = field(default_factory=lambda: [Began(at=0.0, plan={"seed": 1})])
    ops: int = 0

    @property
    def line(self) -> int:
        """That of the event written last."""
        return len(self.events)

    def op(self) -> int:
        self.ops += 1
        return self.ops

    def produced(
        self,
        at: float,
        offset: int,
        *,
        body: str = "",
        partition: int = 0,
        key: str | None = "k",
        outcome: str = "ok",
        took: float = 0.01,
    ) -> None:
        op = self.op()
        self.events += [
            Producing(at=at, op=op, partition=partition, key=key, body=body or f"m{offset}"),
            Produced(at=at + took, op=op, outcome=outcome, offset=offset if outcome != "unknown" else None),  # type: ignore[arg-type]
        ]

    def pulling(
        self,
        at: float,
        client: str = "a",
        *,
        wait: float = 10.0,
        ack_wait: float = 30.0,
        worker: int = 1,
        group: str = STABLE,
    ) -> int:
        op = self.op()
        self.events.append(
            Pulling(
                at=at,
                op=op,
                client=client,
                worker=worker,
                wait_ms=int(wait * 1000),
                ack_wait_ms=int(ack_wait * 1000),
                group=group,
            )
        )
        return op

    def pulled(
        self,
        at: float,
        op: int,
        *messages: Handed,
        outcome: Outcome = "answered",
        status: int | None = None,
        empty: str = "no-message",
    ) -> None:
        self.events.append(
            Pulled(
                at=at,
                op=op,
                outcome=outcome,
                status=status or (200 if messages else 204),
                messages=list(messages),
                empty="" if messages else empty,
            )
        )

    def pull(
        self,
        sent: float,
        answered: float,
        *messages: Handed,
        client: str = "a",
        wait: float = 10.0,
        ack_wait: float = 30.0,
        worker: int = 1,
        group: str = STABLE,
        outcome: Outcome = "answered",
        status: int | None = None,
        empty: str = "no-message",
    ) -> None:
        op = self.pulling(sent, client, wait=wait, ack_wait=ack_wait, worker=worker, group=group)
        self.pulled(answered, op, *messages, outcome=outcome, status=status, empty=empty)

    def settle(
        self,
        sent: float,
        answered: float | None,
        verb: Verb,
        lease: int,
        status: str | None = "ok",
        *,
        durable: bool = True,
        delay: float | None = None,
        ack_wait: float | None = None,
        code: int = 200,
        client: str = "a",
    ) -> None:
        """``status`` none: the connection ended before the answer."""
        op = self.op()
        entry = Entry(
            verb=verb,
            lease=lease,
            delay_ms=None if delay is None else int(delay * 1000),
            ack_wait_ms=None if ack_wait is None else int(ack_wait * 1000),
        )
        self.events.append(Settling(at=sent, op=op, client=client, worker=1, entries=[entry], durable=durable))
        if answered is not None:
            outcome: Outcome = "unknown" if status is None else "answered"
            statuses = [] if status is None or code >= 500 else [status]
            self.events.append(Settled(at=answered, op=op, outcome=outcome, status=code, statuses=statuses))

    def ack(
        self,
        sent: float,
        answered: float | None,
        lease: int,
        status: str | None = "ok",
        *,
        durable: bool = True,
        client: str = "a",
    ) -> None:
        self.settle(sent, answered, "ack", lease, status, durable=durable, client=client)

    def forged(self, sent: float, answered: float, status: str) -> None:
        op = self.op()
        entry = Entry(verb="ack", lease=0, forged="damaged")
        self.events.append(Settling(at=sent, op=op, client="a", worker=1, entries=[entry]))
        self.events.append(Settled(at=answered, op=op, outcome="answered", status=200, statuses=[status]))

    def committed(self, at: float, offsets: dict[int, int]) -> None:
        self.events.append(Committed(at=at, sent=at - 0.01, offsets=offsets))

    def samples(
        self, since: float, until: float, *, generation: int = 1, worker: int = 1, degraded: Sequence[str] = ()
    ) -> None:
        """The worker was asked five times a second. Written down at once, wherever else events are in time."""
        for n in range(int((until - since) * 5) + 1):
            at = round(since + n / 5, 3)
            self.events.append(Sampled(at=at, sent=at, worker=worker, generation=generation, degraded=list(degraded)))

    def struck(self, since: float, until: float, trouble: Trouble, worker: int = 0) -> None:
        self.events += [
            Struck(at=since, trouble=trouble, worker=worker),
            Struck(at=until, trouble=trouble, worker=worker, over=True),
        ]

    def strike(self, at: float, trouble: Trouble, number: int, worker: int = 0) -> None:
        """One of several that go on at once."""
        self.events.append(Struck(at=at, trouble=trouble, strike=number, worker=worker))

    def over(self, at: float, trouble: Trouble, number: int, worker: int = 0) -> None:
        self.events.append(Struck(at=at, trouble=trouble, strike=number, worker=worker, over=True))

    def plan(self, **what: Any) -> None:
        """It is a history of such a plan."""
        self.events[0] = Began(at=0.0, plan={"seed": 1, **what})

    def changed(
        self,
        sent: float,
        answered: float,
        version: int,
        weights: dict[str, int],
        *,
        made_in: int = 1,
        by: Literal["message", "key"] = "message",
        worker: int = 1,
        of: tuple[int, int] | None = None,
    ) -> None:
        """An operator has set the shares, which are this version now."""
        op = self.op()
        self.events.append(Changing(at=sent, op=op, worker=worker, weights=weights, by=by, of=of))
        shares = Shares(version=version, made_in=made_in, weights=weights, by=by)
        self.events.append(Changed(at=answered, op=op, outcome="answered", status=200, shares=shares))

    def shares(
        self,
        since: float,
        until: float,
        version: int,
        weights: dict[str, int],
        *,
        made_in: int = 1,
        by: Literal["message", "key"] = "message",
        worker: int = 1,
    ) -> None:
        """The worker was asked for them five times a second. Written down at once, as `samples` are."""
        shares = Shares(version=version, made_in=made_in, weights=weights, by=by)
        for n in range(int((until - since) * 5) + 1):
            at = round(since + n / 5, 3)
            self.events.append(SharesRead(at=at, sent=at, worker=worker, shares=shares))

    def compacted(self, at: float, removed: dict[int, int]) -> None:
        self.events.append(Compacted(at=at, removed=removed))

    def trimmed(self, since: float, until: float, below: dict[int, int]) -> None:
        self.events.append(Trimmed(at=until, sent=since, below=below))

    def rewound(self, since: float, until: float, offsets: dict[int, int]) -> None:
        self.events.append(Rewound(at=until, sent=since, offsets=offsets))

    def remade(self, since: float, until: float, partitions: int = 1) -> None:
        self.events.append(Remade(at=until, sent=since, partitions=partitions))

    def launched(self, at: float, *workers: int) -> None:
        self.events += [Launched(at=at, worker=worker) for worker in workers]

    def gone(self, at: float, worker: int) -> None:
        self.events.append(Gone(at=at, worker=worker))

    def owned(self, at: float, generation: int, owners: dict[int, list[int]]) -> None:
        """By worker."""
        self.events += [
            Owned(at=at, worker=worker, generation=generation, partitions=partitions)
            for worker, partitions in owners.items()
        ]

    def drained(self, since: float, until: float, ends: dict[int, int], *, complete: bool = True) -> None:
        self.events += [DrainBegan(at=since), DrainEnded(at=until, complete=complete, ends=ends)]


def handed(
    lease: int, offset: int, count: int = 1, *, body: str = "", partition: int = 0, key: str | None = "k"
) -> Handed:
    return Handed(
        lease=lease, partition=partition, offset=offset, delivery_count=count, key=key, body=body or f"m{offset}"
    )
