"""A group joins at every worker that has partitions before the first pull of one of its clients is answered.

Whatever is offered after that answer is for the group too, wherever its partitions are and whoever is asked next. The
owner of a partition that groups have no ledgers in yet asks the others which there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Set
from time import monotonic
from typing import Any

from fanout_app.cluster.gathering import Answerer, Gathering
from fanout_app.cluster.ports import Peer
from fanout_app.cluster.routes import Routes
from fanout_app.core.errors import NotOwnedError
from fanout_app.groups import Groups

_JOIN = "join"
_GROUPS = "groups"
#: Seconds that an owner has to answer, less the way.
_WITHIN = 4.0
_WAY = 0.5
#: Seconds that a worker has to say which groups there are.
_TOLD_IN = 1.0
#: Seconds after which it is looked at anew whether all partitions have owners, whoever has told of his.
_LOOK_EVERY = 0.2

#: The generation of the consumer group that a worker is in, and what it owns: nothing while partitions are moving.
Standing = tuple[int, Collection[int]]


class Joining:
    """The groups of this worker's clients, over all workers."""

    def __init__(
        self,
        groups: Groups,
        gathering: Gathering,
        routes: Routes,
        *,
        partitions: Callable[[], int],
        standing: Callable[[], Standing],
        ttl: float,
    ) -> None:
        """``partitions`` is how many are known of, ``standing`` is this worker's, ``ttl`` is clients'."""
        self._groups = groups
        self._gathering = gathering
        self._routes = routes
        self._partitions = partitions
        self._standing = standing
        self._ttl = ttl
        #: Group -> where it has joined, and when that was last needed: long before it can have been dropped there.
        self._joined: dict[str, tuple[frozenset[tuple[Peer, int]], float]] = {}

    async def join(self, group: str) -> None:
        """Returns when a client of this group may be answered.

        Raises:
            NotOwnedError: some partitions are moving.
            UnavailableError: a worker, or Kafka, has not answered.
            GroupsFullError: there are as many groups as there can be.
        """
        until = monotonic() + _WITHIN
        while True:
            if not await self._groups.join(group, until):
                raise NotOwnedError(f"group {group} has not joined yet, partitions are moving: ask again")
            if self._all_are_known():
                await self._join_elsewhere(group, until)
                return
            if monotonic() >= until:
                raise NotOwnedError(f"group {group} has not joined yet, some partitions have no owner: ask again")
            await self._routes.change(min(_LOOK_EVERY, until - monotonic()))

    def _all_are_known(self) -> bool:
        """Whether each partition has an owner; of those that others noticed first, each up to the last one told of."""
        known = self._routes.known()
        return len(known) >= max(self._partitions(), max(known, default=-1) + 1)

    async def everywhere(self) -> Set[str] | None:
        """The groups that there are, by the owners of all partitions in one generation of the consumer group.

        None if they are not known: partitions are moving, or a worker has not answered. Who is connected has been told
        what this worker owns before he is asked, so a group that he did not name joins here too.
        """
        generation, owned = self._standing()
        answers = await self._gathering.ask_all(_GROUPS, within=_TOLD_IN)
        if None in answers.values() or self._standing() != (generation, owned):
            return None
        here = set(owned)
        groups = set(self._groups.named())
        for theirs in answers.values():
            groups.update(theirs["groups"])
            if theirs["generation"] == generation:
                here.update(theirs["partitions"])
        return groups if here >= set(range(self._partitions())) else None

    async def _join_elsewhere(self, group: str, until: float) -> None:
        owners = frozenset((peer, self._routes.generation(peer)) for peer in self._routes.owners())
        now = monotonic()
        joined, since = self._joined.get(group, (frozenset(), now))
        if now > since + self._ttl / 2:
            joined = frozenset()
        within = max(0.0, until - now) + _WAY
        asked = owners - joined
        if asked:
            how = {"group": group, "within": max(0.0, until - now)}
            await asyncio.gather(
                *(self._gathering.ask(peer, _JOIN, how, within=within) for peer, _ in asked)
            )  # fmt: skip
        self._joined[group] = owners, monotonic()
        self._forget_old(now)

    def _forget_old(self, now: float) -> None:
        for group in [group for group, (_, since) in self._joined.items() if now > since + self._ttl]:
            del self._joined[group]


def answerers(groups: Groups, standing: Callable[[], Standing]) -> Mapping[str, Answerer]:
    """What a worker answers."""

    async def join(how: Any) -> Any:
        if not await groups.join(how["group"], monotonic() + how["within"]):
            raise NotOwnedError("partitions are moving, or Kafka does not take the group's row: ask again")

    async def named(how: Any) -> Any:
        generation, owned = standing()
        return {"generation": generation, "partitions": owned, "groups": list(groups.named())}

    return {_JOIN: join, _GROUPS: named}
