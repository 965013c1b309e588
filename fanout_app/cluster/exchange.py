"""This worker among the others: frames go to the part that they are for, and what this worker has is told.

The one place that knows all parts of working together; each of them knows only what it needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

from fanout_app.cluster.answering import LOAN, Answering
from fanout_app.cluster.asking import Asking
from fanout_app.cluster.frames import (
    Confirm,
    Demand,
    EndDemand,
    Frame,
    GiveBack,
    Handed,
    Hold,
    Nothing,
    Question,
    Reply,
    Settled,
    SettleDemand,
    State,
)
from fanout_app.cluster.gathering import Answerer, Gathering
from fanout_app.cluster.ports import Peer, Render
from fanout_app.cluster.routes import Routes
from fanout_app.cluster.settling import SettleRouting
from fanout_app.core.dispatcher import Dispatcher
from fanout_app.groups import Groups
from fanout_app.tasks import Tasks

#: Seconds between two looks at whether what was told of this worker is still so.
_TELL_EVERY = 0.2


class Exchange:
    """The listener of all connections to other workers."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        groups: Groups,
        *,
        generation: Callable[[], int],
        waiting: Callable[[], int],
        render: Render,
        answerers: Mapping[str, Answerer],
        tasks: Tasks,
    ) -> None:
        """``dispatcher`` has this worker's partitions, ``generation`` is that of the group that they were assigned in,
        and ``waiting`` counts the messages nobody was handed.
        """
        self._dispatcher = dispatcher
        self._groups = groups
        self._generation = generation
        self._waiting = waiting
        self._peers: list[Peer] = []
        self._told = State((), 0, 0)
        #: When the loop was last known to run; None before `keep_telling` does.
        self._ran_at: float | None = None
        #: Connections that were given up and are not yet lost.
        self._given_up: set[Peer] = set()
        self.routes = Routes(dispatcher, generation)
        self.asking = Asking(groups, lambda: dispatcher.partitions, self.routes, waiting)
        self.settling = SettleRouting(groups, self.routes, lambda: dispatcher.partitions)
        self.answering = Answering(groups, lambda: dispatcher.partitions, render, tasks)
        self.gathering = Gathering(lambda: self._peers, answerers, tasks)

    @property
    def peers(self) -> list[Peer]:
        """The workers this one is connected to."""
        return list(self._peers)

    async def keep_telling(self) -> None:
        """Tell the others what this worker has, whenever that changes. Runs until it is cancelled."""
        while True:
            if self._has_slept():
                # Whatever comes first when the loop goes on, this or what has lain in the sockets.
                for peer in self._peers:
                    self._give_up(peer)
            self._ran_at = monotonic()
            self.tell()
            await asyncio.sleep(_TELL_EVERY)

    def tell(self) -> None:
        """What this worker has may have changed."""
        groups = tuple(sorted(self._groups.groups_alive(monotonic())))
        state = State(tuple(sorted(self._dispatcher.partitions)), self._generation(), self._waiting(), groups)
        before, self._told = self._told, state
        if state != before:
            if state.partitions != before.partitions:
                self.routes.here_changed()
            for peer in self._peers:
                peer.send(state)
        self._look_at_groups(groups != before.groups)

    def _look_at_groups(self, other_here: bool = False) -> None:
        """Where a group has come or gone, other clients than before may be handed what is there."""
        other_there = self._groups.alive_elsewhere(self.routes.groups())
        if other_here or other_there:
            self._groups.serve()

    # Connections -----------------------------------------------------------------------------------------------------

    def joined(self, peer: Peer) -> None:
        self._peers.append(peer)
        peer.send(self._told)

    def lost(self, peer: Peer) -> None:
        self._peers.remove(peer)
        self._given_up.discard(peer)
        self.routes.lost(peer)
        self.asking.lost(peer)
        self.settling.lost(peer)
        self.gathering.lost(peer)
        self.answering.lost(peer)

    def received(self, peer: Peer, frame: Frame) -> None:
        if isinstance(frame, Handed) and self._has_slept():
            self._give_up(peer)
        if peer in self._given_up:
            return
        match frame:
            case Demand():
                self.answering.demand(peer, frame)
            case Handed():
                self.asking.handed(peer, frame)
            case Confirm():
                self.answering.confirm(peer, frame)
            case EndDemand():
                self.answering.end(peer, frame)
            case Nothing():
                self.asking.nothing(peer, frame)
            case SettleDemand():
                self.answering.settle(peer, frame)
            case Settled():
                self.settling.settled(peer, frame)
            case Hold():
                self.answering.hold(peer, frame)
            case GiveBack():
                self.answering.give_back(peer, frame)
            case State():
                self._state(peer, frame)
            case Question():
                self.gathering.question(peer, frame)
            case Reply():
                self.gathering.reply(peer, frame)

    def _has_slept(self) -> bool:
        """Whether the loop has stood still for as long as an answer on loan is good at most."""
        return self._ran_at is not None and monotonic() > self._ran_at + _TELL_EVERY + LOAN / 2

    def _give_up(self, peer: Peer) -> None:
        """What lies in its socket is older than it looks: the messages may be somebody else's by now, and acked."""
        self._given_up.add(peer)
        peer.drop()

    def _state(self, peer: Peer, state: State) -> None:
        self.routes.told(peer, state)
        self._look_at_groups()
        if state.partitions:
            self.asking.owner_came(peer)
