"""All queues of a worker as people look at them: one, or one for each group with the partitions' own beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from time import monotonic
from typing import Any

from fanout_app import overview
from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.limits import Counters, summed
from fanout_app.core.requests import LiveLease
from fanout_app.core.windows import together
from fanout_app.groups import Groups

#: What is added up over all groups.
_SUMS = ("waiting_messages", "buffered", "delayed", "in_flight")
_PARTITION_SUMS = ("settled_above_floor", "buffered", "delayed", "in_flight", "blocked")


class Overview:
    """Reads the queues when somebody asks."""

    def __init__(self, base: Dispatcher, groups: Groups) -> None:
        """``base`` has the partitions."""
        self._base = base
        self._groups = groups

    @property
    def by_weight(self) -> bool:
        """Whether groups share what is there; else each of them gets everything."""
        return self._groups.by_weight

    def of_groups(self) -> Mapping[str, Dispatcher]:
        """By the names of their groups; none where the one that has the partitions serves all."""
        return {name: queue.dispatcher for name, queue in self._groups.named().items()}

    def queues(self) -> list[Dispatcher]:
        """All that serve clients."""
        return [queue.dispatcher for queue in self._groups.queues()]

    def counters(self) -> Counters:
        """Over all queues since the start, those of groups that have gone included."""
        return summed([self._groups.gone, *(queue.counters for queue in self.queues())])

    def bytes_held(self) -> int:
        """The groups hold the same messages, one of them most of these."""
        return max((queue.bytes_held() for queue in self.queues()), default=0)

    def waiting(self) -> int:
        return sum(map(overview.waiting, self.queues()))

    def totals(self) -> dict[str, Any]:
        totals = overview.totals(self._base)
        others = [overview.totals(other) for other in self.of_groups().values()]
        for field in _SUMS if others else ():
            totals[field] = sum(other[field] for other in others)
        totals["buffered_bytes"] = self.bytes_held()
        return totals

    def client_names(self) -> list[str]:
        now = monotonic()
        return [name for queue in self.queues() for name in overview.client_names(queue, now)]

    def clients(self, waiting: Mapping[str, int], most: int | None = None) -> list[dict[str, Any]]:
        """See `overview.clients`; ``most`` is of each queue."""
        now = monotonic()
        return [row for queue in self.queues() for row in overview.clients(queue, waiting, now, most)]

    def counted(self, now: float) -> dict[str, Any]:
        """Every counter since the start, and the latencies of acks in the windows, see `Tally.latencies`."""
        tallies = (tally for queue in self.queues() for tally in queue.leases.windows.tallies(now).values())
        return {**asdict(self.counters()), "latencies": together(tallies).latencies}

    def live_leases(self, min_age: float, limit: int) -> list[LiveLease]:
        given_before = monotonic() - min_age
        found = [lease for queue in self.queues() for lease in overview.live_leases(queue, given_before, limit)]
        return sorted(found, key=lambda lease: (lease.delivered_at, lease.ref.partition, lease.ref.offset))[:limit]

    def degraded(self) -> list[str]:
        """Why messages wait that could be with somebody, in words for an operator."""
        others = self.of_groups()
        if not others:
            return _degraded(self._base)
        return [f"group {name}: {reason}" for name, other in others.items() for reason in _degraded(other)]

    def full(self) -> dict[str, set[int]]:
        """The limits that stop the intake of partitions, by their options."""
        stopped: dict[str, set[int]] = {}
        for queue in self.queues():
            for limit, numbers in overview.full(queue).items():
                stopped.setdefault(limit, set()).update(numbers)
        return stopped

    def partitions(self, owner: str) -> list[dict[str, Any]]:
        """A row a partition; where groups have ledgers of their own, how each of them stands in it."""
        rows = overview.partitions(self._base, owner)
        others = {
            name: {part["partition"]: part for part in overview.partitions(other, owner)}
            for name, other in self.of_groups().items()
        }
        for row in rows if others else ():
            number = row["partition"]
            parts = {name: by_number[number] for name, by_number in others.items() if number in by_number}
            for field in _PARTITION_SUMS:
                row[field] = sum(part[field] for part in parts.values())
            row["row_bytes"] = max([row["row_bytes"], *(part["row_bytes"] for part in parts.values())])
            row["full"] = next((part["full"] for part in parts.values() if part["full"]), row["full"])
            ages = [part["oldest_age_seconds"] for part in parts.values() if part["oldest_age_seconds"] is not None]
            row["oldest_age_seconds"] = max(ages, default=None)
            row["groups"] = {
                name: {field: part[field] for field in ("floor", "settled_above_floor", "buffered", "in_flight")}
                for name, part in parts.items()
            }
        return rows


def _degraded(queue: Dispatcher) -> list[str]:
    return [*overview.stopped(queue), *overview.full_of_blocked(queue), *overview.unserved(queue, monotonic())]
