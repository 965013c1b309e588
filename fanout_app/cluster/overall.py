"""What operators see and ask of the whole cluster, at whichever worker they ask it.

Each worker answers for itself (`Here`); what the others answer is added. One that does not answer is named as a reason
why the whole is degraded, and its part is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest
from time import monotonic
from typing import Any, NamedTuple, Protocol

from fanout_app.cluster.gathering import Answerer, Gathering
from fanout_app.cluster.routes import Routes
from fanout_app.cluster.wire import fields_of, ref_of
from fanout_app.core.errors import RefusedError
from fanout_app.core.lease import LeaseRun
from fanout_app.core.requests import LeaseRef, LiveLease, SeekTo, Timestamp
from fanout_app.core.settling import Case

#: What is added up over all workers.
_SUMS = ("lag", "waiting_messages", "buffered", "delayed", "in_flight", "buffered_bytes", "waiting_pulls")
_CLIENT_SUMS = ("in_flight", "waiting", "delivered", "acked", "nacked", "expired")
SURVEY = "survey"
#: Seconds for a seek at another worker, which answers in 10 s itself.
_SEEK_FOR = 12.0


class Here(Protocol):
    """This worker's own part."""

    @property
    def worker(self) -> str: ...
    def status(self) -> dict[str, Any]: ...
    def partitions_status(self) -> list[dict[str, Any]]: ...
    def clients_status(self, most: int | None = None) -> list[dict[str, Any]]: ...
    def counted(self) -> dict[str, Any]: ...
    def live_leases(self, min_age: float, limit: int) -> Sequence[LiveLease]: ...
    def lease_state(self, ref: LeaseRef) -> tuple[Case, LeaseRun | None]: ...
    def leave(self, client: str) -> bool: ...
    def may_seek(self, partition: int | None, *, force: bool) -> None:
        """Raises what `seek` would raise before it changes anything."""

    async def seek(self, partition: int | None, to: SeekTo, *, force: bool) -> dict[int, int]: ...


class Survey(NamedTuple):
    """How all of it stands."""

    #: The body of /v1/status.
    status: dict[str, Any]
    #: The rows of /v1/partitions.
    partitions: list[dict[str, Any]]
    #: Rows of /v1/clients, of those that hold or wait for most.
    clients: list[dict[str, Any]]
    #: By worker what has happened there since its start, see `Overview.counted`; None: it does not answer.
    counted: dict[str, dict[str, Any] | None]


class Overall:
    """The cluster as one."""

    def __init__(self, here: Here, gathering: Gathering, routes: Routes, *, partitions: Callable[[], int]) -> None:
        """``partitions`` is how many of the topic are known of."""
        self._here = here
        self._gathering = gathering
        self._routes = routes
        self._partitions = partitions

    async def status(self) -> dict[str, Any]:
        """The body of /v1/status."""
        return self._status(self._here.status(), await self._gathering.ask_all("status"))

    def _status(self, status: dict[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
        names = set(status.pop("client_names"))
        status["workers"] = [self._here.worker]
        for name, other in sorted(others.items()):
            if other is None:
                status["degraded"].append(f"{name}: does not answer")
                continue
            for field in _SUMS:
                status[field] += other[field]
            names.update(other["client_names"])
            status["degraded"] += [f"{name}: {reason}" for reason in other["degraded"]]
            status["workers"].append(name)
        status["clients"] = len(names)
        return status

    async def partitions(self) -> list[dict[str, Any]]:
        """The rows of /v1/partitions. While one moves two workers may think that they own it: the later one is told."""
        return self._partitions_of(self._here.partitions_status(), await self._gathering.ask_all("partitions"))

    def _partitions_of(self, own: list[dict[str, Any]], others: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = {row["partition"]: row for row in own}
        for name, theirs in others.items():
            for row in theirs or ():
                number = row["partition"]
                owner = self._routes.owner(number)
                if number not in rows or (owner is not None and owner.name == name):
                    rows[number] = row
        return [rows[number] for number in sorted(rows)]

    async def clients(self) -> list[dict[str, Any]]:
        """The rows of /v1/clients: one a client, whichever workers it is known to."""
        return _clients(self._here.clients_status(), await self._gathering.ask_all("clients"))

    async def survey(self, most_clients: int) -> Survey:
        """What a page shows that is looked at all the time: one question a worker, and no more than ``most_clients``.

        Where there are more, what one of them has at another worker may be missing in its row.
        """
        own, others = _survey(self._here, most_clients), await self._gathering.ask_all(SURVEY, most_clients)

        def part(of: str) -> dict[str, Any]:
            return {name: None if other is None else other[of] for name, other in others.items()}

        clients = _clients(own["clients"], part("clients"))
        return Survey(
            status=self._status(own["status"], part("status")),
            partitions=self._partitions_of(own["partitions"], part("partitions")),
            clients=nlargest(most_clients, clients, key=_busy),
            counted={self._here.worker: own["counted"], **part("counted")},
        )

    async def leases(self, min_age: float, limit: int) -> list[LiveLease]:
        """Up to ``limit`` leases that began at least ``min_age`` seconds ago, the oldest first."""
        leases = list(self._here.live_leases(min_age, limit))
        answers = await self._gathering.ask_all("leases", {"min_age": min_age, "limit": limit})
        now = monotonic()
        for others in answers.values():
            for ref, client, group, age, left in others or ():
                leases.append(LiveLease(LeaseRef._make(ref), client, group, now - age, now + left))
        return sorted(leases, key=lambda lease: (lease.delivered_at, lease.ref.partition, lease.ref.offset))[:limit]

    async def lease_state(self, ref: LeaseRef) -> tuple[Case, float | None]:
        """Where the message of a lease stands, and when that lease ends if it is live.

        Raises:
            UnavailableError: its owner does not answer.
        """
        owner = self._routes.owner(ref.partition)
        if owner is None:
            case, run = self._here.lease_state(ref)
            return case, run.deadline if run is not None and case is Case.LIVE else None
        case_name, left = await self._gathering.ask(owner, "lease", fields_of(ref))
        return Case[case_name], None if left is None else monotonic() + left

    async def leave(self, client: str) -> bool:
        """The client leaves now, wherever it waits or holds leases. False: nobody knows it."""
        here = self._here.leave(client)
        return any([here, *(await self._gathering.ask_all("leave", client)).values()])

    async def seek(self, partition: int | None, to: SeekTo, *, force: bool) -> dict[int, int]:
        """Begin a new era of this partition, or of all, at another offset; see `Assignment.seek`.

        All owners are asked first whether they may, so that a seek of all partitions is not refused half done.

        Raises:
            RefusedError: the topic has no such partition.
            LeasesLiveError, NotOwnedError, UnavailableError: as the owners say.
        """
        if partition is None:
            owners = self._routes.owners()
            here = bool(self._here.partitions_status()) or not owners
        else:
            owner = self._routes.owner(partition)
            if owner is None and partition >= (there := self._partitions()):
                raise RefusedError(
                    f"partition: the topic has {there}, numbered from 0; one that was added is known within 10 s"
                )
            owners, here = ([], True) if owner is None else ([owner], False)
        if here:
            self._here.may_seek(partition, force=force)
        asked = {"partition": partition, "force": force}
        await asyncio.gather(*(self._gathering.ask(owner, "may-seek", asked) for owner in owners))
        target = {"unix_ms": to.unix_ms} if isinstance(to, Timestamp) else to
        seeks = [self._gathering.ask(owner, "seek", {**asked, "to": target}, within=_SEEK_FOR) for owner in owners]
        if here:
            seeks.append(self._here.seek(partition, to, force=force))
        return {number: offset for offsets in await asyncio.gather(*seeks) for number, offset in offsets.items()}


def _survey(here: Here, most_clients: int) -> dict[str, Any]:
    """One worker's part of it."""
    return {
        "status": here.status(),
        "partitions": here.partitions_status(),
        "clients": here.clients_status(most_clients),
        "counted": here.counted(),
    }


def _busy(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["in_flight"] + row["waiting"], row["last_seen_unix_ms"]


def _clients(own: list[dict[str, Any]], others: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = {row["client"]: row for row in own}
    for theirs in others.values():
        for row in theirs or ():
            known = rows.get(row["client"])
            if known is None:
                rows[row["client"]] = row
                continue
            for field in _CLIENT_SUMS:
                known[field] += row[field]
            known["last_seen_unix_ms"] = max(known["last_seen_unix_ms"], row["last_seen_unix_ms"])
    return list(rows.values())


def answerers(here: Here) -> Mapping[str, Answerer]:
    """What this worker answers when it is asked for its part."""

    async def status(_: Any) -> Any:
        return here.status()

    async def partitions(_: Any) -> Any:
        return here.partitions_status()

    async def clients(_: Any) -> Any:
        return here.clients_status()

    async def survey(most_clients: Any) -> Any:
        return _survey(here, most_clients)

    async def leases(how: Any) -> Any:
        now = monotonic()
        return [
            (fields_of(lease.ref), lease.client, lease.group, now - lease.delivered_at, lease.deadline - now)
            for lease in here.live_leases(how["min_age"], how["limit"])
        ]

    async def lease(how: Any) -> Any:
        ref = ref_of(tuple(how))
        assert isinstance(ref, LeaseRef)
        case, run = here.lease_state(ref)
        return case.name, run.deadline - monotonic() if run is not None and case is Case.LIVE else None

    async def leave(how: Any) -> Any:
        return here.leave(how)

    async def may_seek(how: Any) -> Any:
        here.may_seek(how["partition"], force=how["force"])

    async def seek(how: Any) -> Any:
        to = how["to"]
        target = Timestamp(to["unix_ms"]) if isinstance(to, dict) else to
        return await here.seek(how["partition"], target, force=how["force"])

    return {
        "status": status,
        "partitions": partitions,
        "clients": clients,
        SURVEY: survey,
        "leases": leases,
        "lease": lease,
        "leave": leave,
        "may-seek": may_seek,
        "seek": seek,
    }
