"""The stalls of a history by kind of strike, beside what the timeouts that were configured say they may be. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from statistics import median

from msgspec import Struct

from support.histories.events import Trouble
from support.histories.stalls import Stall

#: Seconds. Of workers as `support.workers` starts them, and of servers as `bin/stack` does.
_SESSION = 3.0
_BROKER_SESSION = 4.0
#: Members learn of a rebalance with the next heartbeat, and who takes a partition over reads its ledger.
_HEARTBEAT = 0.5
_TAKEN_OVER = 1.5
#: The others notice who is silent when its session is over; who wakes up joins again.
_MISSED = _SESSION + _HEARTBEAT + _TAKEN_OVER
#: A message on its way to a client of another worker is free again after this.
_LOAN = 2.0
#: A client of Kafka that has lost a broker asks the others who leads now, at the latest after this.
_ASKS_ANEW = 1.0
#: A record is asked for again when a request to its broker has not been answered for so long.
_FETCH_MISSED = 0.5

#: By how long the strike itself took; for the others the stall may be as long as they take and the same once more.
_MAY_BE: dict[Trouble, Callable[[float], float]] = {
    "kill -9": lambda lasted: _MISSED + _LOAN,
    "SIGTERM": lambda lasted: _HEARTBEAT + 2 * _TAKEN_OVER,
    "worker removed": lambda lasted: _HEARTBEAT + _TAKEN_OVER,
    "worker added": lambda lasted: _HEARTBEAT + _TAKEN_OVER,
    "rolling restart": lambda lasted: _HEARTBEAT + 2 * _TAKEN_OVER,
    "SIGSTOP": lambda lasted: min(lasted, _MISSED) + _LOAN + (_TAKEN_OVER if lasted > _SESSION else 0.0),
    "clock step": lambda lasted: _FETCH_MISSED,
    # What is sent again after a cut waits for as long as it lasted.
    "cut from brokers": lambda lasted: min(2 * lasted, _MISSED) + _LOAN + (_TAKEN_OVER if lasted > _SESSION else 0.0),
    "cut off": lambda lasted: min(2 * lasted, _MISSED) + _LOAN + (_TAKEN_OVER if lasted > _SESSION else 0.0),
    "cut from zookeepers": lambda lasted: _FETCH_MISSED,
    "cut from workers": lambda lasted: _LOAN + _FETCH_MISSED,
    "cut from clients": lambda lasted: _LOAN + _FETCH_MISSED,
    "broker killed": lambda lasted: _BROKER_SESSION + _ASKS_ANEW + _TAKEN_OVER,
    "broker paused": lambda lasted: min(lasted, _BROKER_SESSION) + _ASKS_ANEW + _TAKEN_OVER,
    "broker disk full": lambda lasted: _BROKER_SESSION + _ASKS_ANEW + _TAKEN_OVER,
    "zookeeper killed": lambda lasted: _FETCH_MISSED,
    "zookeeper paused": lambda lasted: _FETCH_MISSED,
    "all zookeepers killed": lambda lasted: _FETCH_MISSED,
    "retention": lambda lasted: _FETCH_MISSED,
}


def may_be(trouble: Trouble, lasted: float) -> float | None:
    """For how long a strike of this kind may keep messages, by what is configured, on a machine that is not busy.

    None: that is not for a timeout to say. What an operator has set back comes first, however much it is.
    """
    if trouble == "operator's reset":
        return None
    rule = _MAY_BE.get(trouble)
    return rule(lasted) if rule else lasted + _ASKS_ANEW + _TAKEN_OVER


class Row(Struct, frozen=True, kw_only=True):
    trouble: Trouble
    #: Strikes with nothing beside them; the figures are theirs.
    count: int
    median: float
    longest: float
    #: The longest from when a producer was asked to send what had to wait.
    longest_end_to_end: float
    #: What it may be, of the one with the longest stall.
    may_be: float | None
    #: Strikes that another one was beside, and the longest stall among those.
    mixed: int
    longest_mixed: float


def table(found: Iterable[Stall]) -> list[Row]:
    """The kind with the longest stall comes first."""
    by_kind: dict[Trouble, list[Stall]] = defaultdict(list)
    for stall in found:
        by_kind[stall.trouble].append(stall)
    rows = [_row(trouble, each) for trouble, each in by_kind.items()]
    return sorted(rows, key=lambda row: (-row.longest, -row.longest_mixed, row.trouble))


def _row(trouble: Trouble, each: list[Stall]) -> Row:
    alone = [stall for stall in each if not stall.mixed]
    mixed = [stall for stall in each if stall.mixed]
    worst = max(alone or mixed, key=lambda stall: stall.seconds)
    bound = may_be(trouble, worst.lasted)
    return Row(
        trouble=trouble,
        count=len(alone),
        median=round(median([stall.seconds for stall in alone] or [0.0]), 2),
        longest=round(max([stall.seconds for stall in alone], default=0.0), 2),
        longest_end_to_end=round(max([stall.end_to_end for stall in alone], default=0.0), 2),
        may_be=None if bound is None else round(bound, 2),
        mixed=len(mixed),
        longest_mixed=round(max([stall.seconds for stall in mixed], default=0.0), 2),
    )


def text(rows: Iterable[Row]) -> str:
    heads = ("strikes", "median", "longest", "may be", "end to end", "mixed", "longest")
    head = f"{'stall after':<24}" + "".join(f"{name:>12}" for name in heads)
    return "\n".join([head, *map(_line, rows)])


def _line(row: Row) -> str:
    figures = (row.median, row.longest, row.may_be, row.longest_end_to_end)
    alone = "".join(f"{'-':>12}" if seconds is None else f"{seconds:>10.2f} s" for seconds in figures)
    return f"{row.trouble:<24}{row.count:>12}{alone}{row.mixed:>12}{row.longest_mixed:>10.2f} s"
