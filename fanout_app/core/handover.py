"""What an owner of a partition leaves to the next one: who has which messages and for how long, and which of them rest.

What is ready for a client needs no word: the next owner reads it, and the ledger says how often it has failed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import chain

from fanout_app.core.client import Clients
from fanout_app.core.lease import Answer, HandedOver, LeaseRun
from fanout_app.core.partition import PartitionQueue
from fanout_app.core.redelivery import Delayed
from fanout_app.core.sleepers import Sleeper

#: At most so many bytes of a row go to one run, and to one client beside its names.
_RUN_BYTES = 32
_CLIENT_BYTES = 24


def leave(partition: PartitionQueue, clients: Clients, answers: Mapping[int, Answer], now: float) -> list[HandedOver]:
    """The leases that are live and the delays that are not over, ascending by offset.

    A lease that is on loan is not: its client has not been told of it, or whoever asked for it sends it back.
    """
    ledger = partition.ledger
    runs: list[HandedOver] = []
    last: HandedOver | None = None
    end = 0
    for offset, like in sorted(_each(partition, clients, answers, now), key=lambda pair: pair[0]):
        if like is last and not ledger.unsettled_in(end, offset):
            runs[-1] = runs[-1]._replace(span=offset + 1 - runs[-1].first)
        else:
            runs.append(like._replace(first=offset))
        last, end = like, offset + 1
    return runs


def _each(
    partition: PartitionQueue, clients: Clients, answers: Mapping[int, Answer], now: float
) -> Iterator[tuple[int, HandedOver]]:
    """Each message with what is to be said of it; what is the same for several is one object."""
    same: dict[Hashable, HandedOver] = {}
    for offset, run in partition.in_flight.items():
        if run.deadline > now and not _on_loan(run, answers):
            if run not in same:
                same[run] = HandedOver(
                    first=0,
                    span=1,
                    left=run.deadline - now,
                    client=run.client,
                    group=run.group,
                    anonymous=clients[run.client].anonymous,
                    batch=run.batch,
                    delivery_count=run.delivery_count,
                    age=max(0.0, now - run.delivered_at),
                )
            yield offset, same[run]
    resting: Iterable[tuple[int, Delayed | Sleeper]] = chain(partition.delayed.items(), partition.sleepers.items())
    for offset, one in resting:
        if one.due > now:
            rest = (one.due, one.failed_by or "", one.group, partition.ledger.delivery_count(offset))
            if rest not in same:
                same[rest] = HandedOver(
                    first=0, span=1, left=one.due - now, client=rest[1], group=one.group, delivery_count=rest[3]
                )
            yield offset, same[rest]


def _on_loan(run: LeaseRun, answers: Mapping[int, Answer]) -> bool:
    return not run.handed_over and answers[run.batch].provisional.set


def fit(runs: Iterable[HandedOver], room: float) -> list[HandedOver]:
    """As many of these as ``room`` bytes of a row hold: leases before rests, those that last longest first."""
    kept: list[HandedOver] = []
    named: set[tuple[str, str]] = set()
    for run in sorted(runs, key=lambda run: (run.batch is None, -run.left)):
        names = (run.client, run.group)
        room -= _RUN_BYTES
        if names not in named:
            room -= _CLIENT_BYTES + sum(len(name.encode()) for name in names)
            named.add(names)
        if room < 0:
            break
        kept.append(run)
    return kept
