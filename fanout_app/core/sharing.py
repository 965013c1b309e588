"""What the groups' weights come to at this moment: who has a share, who may be handed what, and whose turn it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from typing import NamedTuple

from fanout_app.core.client import Clients
from fanout_app.core.lanes import By, Lane, Lanes
from fanout_app.core.shares import STABLE, Shares, present


class Turn(NamedTuple):
    """A group may be handed something now."""

    group: str
    #: From these lanes.
    lanes: tuple[Lane, ...]
    #: As part of its share. What lies in the lane of a group is its own whatever it has had, and not counted: else what
    #: a canary fails would be part of stable's share, and the canary would be handed more than its own for the first
    #: time.
    counted: bool


class Sharing:
    """The shares of the groups over the clients of one dispatcher."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        #: Groups of which clients are alive at other workers.
        self.alive_elsewhere: Set[str] = frozenset()
        self.weights: Mapping[str, int] = {STABLE: 100}
        self.by: By = "message"
        self.lanes = Lanes(self.weights, ())
        self._present: dict[str, int] | None = None
        #: The groups here and elsewhere by which that was found.
        self._alive: tuple[frozenset[str], Set[str]] = frozenset(), frozenset()
        self._shares = Shares()
        self.came_back = self._shares.came_back

    def use(self, weights: Mapping[str, int], by: By) -> None:
        """Share by these from the next `look` on; a group that is not named has no weight."""
        if (weights, by) != (self.weights, self.by):
            self.weights, self.by = dict(weights), by
            self._present = None

    @property
    def round(self) -> int:
        """See `Shares.round`."""
        return self._shares.round

    def present(self, now: float, *groups: str) -> dict[str, int]:
        """The shares at this moment; ``groups`` are alive, whoever else is."""
        return present(self.weights, {*self.alive(now), *groups})

    def alive(self, now: float) -> set[str]:
        """The groups of which clients are alive, here or at other workers."""
        return {*self._clients.groups_alive(now), *self.alive_elsewhere}

    def look(self, now: float) -> bool:
        """Share by what is so now.

        Returns:
            Whether messages wait in other `lanes` from now on.
        """
        alive = self._clients.groups_alive(now), self.alive_elsewhere
        if self._present is not None and alive == self._alive:
            return False
        self._alive = alive
        shares = self.present(now)
        if shares == self._present:
            return False
        self._shares.use(shares)
        self._present = shares
        self.lanes = Lanes(self.weights, shares, self.by)
        return True

    def turns(self, waiting: Collection[str], there: Collection[Lane]) -> Iterator[Turn]:
        """Who of those ``waiting`` may be handed something of what is ``there``, in this order; up to the first change.

        Each is given what is its own before anything by turn.
        """
        for group in waiting:
            if group in there:
                yield Turn(group, (group,), counted=False)
        if None in there:
            for group in self._shares.turns(waiting):
                yield Turn(group, (None,), counted=True)

    def most(self, turn: Turn, messages: int) -> int:
        """How many of so ``messages`` many may be handed out by this turn."""
        return self._shares.most(turn.group, messages) if turn.counted else messages

    def served(self, turn: Turn, messages: int, waiting: Collection[str]) -> None:
        """So many were, while these groups were ``waiting``."""
        if turn.counted:
            self._shares.served(turn.group, messages, waiting)
