"""Who owns which partition, and where messages wait, as far as the other workers have told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from math import log
from time import monotonic

from fanout_app.cluster.frames import State
from fanout_app.cluster.ports import Peer
from fanout_app.core.dispatcher import Dispatcher

#: So many times as many messages have to wait at another worker for its to be asked for before our own.
_HERE_FIRST = 2


class Routes:
    """The other workers' states. Where two say that they own a partition, the later generation of the group counts."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        generation: Callable[[], int],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``generation`` is that in which this worker was given its partitions; ``chance`` is in [0, 1)."""
        self._dispatcher = dispatcher
        self._generation = generation
        self._chance = chance
        self._states: dict[Peer, State] = {}
        self._waiting: dict[Peer, int] = {}
        #: Groups that were alive at a worker when the connection to it was lost, and until when they count as such.
        self._groups_lost: dict[str, float] = {}
        self._owners: dict[int, Peer] = {}
        self._changed: asyncio.Event = asyncio.Event()

    def __bool__(self) -> bool:
        """Whether any other worker is there."""
        return bool(self._states)

    def told(self, peer: Peer, state: State) -> None:
        self._waiting[peer] = state.waiting
        before = self._states.get(peer)
        self._states[peer] = state
        if before is None or (before.partitions, before.generation) != (state.partitions, state.generation):
            self._sort()

    def lost(self, peer: Peer) -> None:
        self._waiting.pop(peer, None)
        state = self._states.pop(peer, None)
        if state is not None:
            until = monotonic() + self._dispatcher.limits.client_ttl
            self._groups_lost.update(dict.fromkeys(state.groups, until))
            self._sort()

    def groups(self) -> set[str]:
        """The groups of which clients are alive at other workers; those of a lost one have a while to come back."""
        now = monotonic()
        self._groups_lost = {group: until for group, until in self._groups_lost.items() if now < until}
        return set(self._groups_lost).union(*(state.groups for state in self._states.values()))

    def _sort(self) -> None:
        self._owners = {
            number: peer
            for peer, state in sorted(self._states.items(), key=lambda item: item[1].generation)
            for number in state.partitions
        }
        self._changed.set()
        self._changed = asyncio.Event()

    def here_changed(self) -> None:
        """The partitions of this worker are others now."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, timeout: float) -> None:
        """Wait until somebody owns something else, up to ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return

    def owner(self, partition: int) -> Peer | None:
        """The other worker that has this partition; None where it is ours, or nobody's for all we know."""
        peer = self._owners.get(partition)
        if peer is None:
            return None
        ours = partition in self._dispatcher.partitions and self._generation() >= self._states[peer].generation
        return None if ours else peer

    def owners(self) -> list[Peer]:
        """The other workers that have partitions."""
        return [peer for peer, state in self._states.items() if state.partitions]

    def generation(self, peer: Peer) -> int:
        """That of the consumer group in which a worker was given what it has."""
        return self._states[peer].generation

    def known(self) -> set[int]:
        """Partitions that anybody has."""
        return {*self._owners, *self._dispatcher.partitions}

    # Where messages wait ---------------------------------------------------------------------------------------------

    def took(self, peer: Peer, messages: int) -> None:
        """So many of the messages that wait at a worker are gone; all of them where an answer was empty."""
        if peer in self._waiting:
            self._waiting[peer] = max(0, self._waiting[peer] - messages)

    def emptied(self, peer: Peer) -> None:
        if peer in self._waiting:
            self._waiting[peer] = 0

    def turn(self, waiting_here: int) -> list[Peer | None]:
        """The workers at which messages wait, in the order in which to ask them for some; None is this one.

        This one first, unless twice as many wait at another: what another hands out costs both of them. Else by
        chance, weighted by how many wait: over many pulls each is asked in proportion, and no memory of what was asked
        when the numbers were other ones gets in the way.
        """
        places: list[tuple[Peer | None, int]] = [(peer, count) for peer, count in self._waiting.items() if count > 0]
        if self.here_first(waiting_here):
            return [None, *(place for place, _ in self._by_chance(places))]
        if waiting_here > 0:
            places.append((None, waiting_here))
        return [place for place, _ in self._by_chance(places)]

    def here_first(self, waiting_here: int) -> bool:
        """Whether this worker is the first of them."""
        return waiting_here > 0 and waiting_here * _HERE_FIRST >= max(self._waiting.values(), default=0)

    def _by_chance(self, places: list[tuple[Peer | None, int]]) -> list[tuple[Peer | None, int]]:
        if len(places) > 1:
            # Exponential clocks: the one with twice the weight rings first twice as often.
            places.sort(key=lambda place: -log(1.0 - self._chance()) / place[1])
        return places
