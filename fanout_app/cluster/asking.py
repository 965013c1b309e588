"""Finds messages for the clients of this worker, here or at other workers.

Where messages are known to wait a worker is asked for some of them, one at a time and without waiting. Where none are,
the client waits at every worker that has partitions at once; the first answer is its own, and what else comes for it
goes back as if it had never been handed out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sized
from itertools import count
from time import monotonic

import msgspec

from fanout_app.cluster.frames import Demand, EndDemand, Handed, Nothing, Wish
from fanout_app.cluster.ports import Peer
from fanout_app.cluster.relayed import Relayed
from fanout_app.cluster.routes import Routes
from fanout_app.cluster.wire import reason_of
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Empty, Pull
from fanout_app.groups import Groups
from fanout_app.pulls import Pulls

#: Seconds that a worker has to say that it has nothing; one that takes longer is asked again with the next pull.
_TRY_FOR = 0.5
#: Seconds that workers have to say why there was nothing, after the client's time is up.
_REASON_FOR = 0.25
#: Of two reasons for an empty answer the one that an operator or the client can do something about is told.
_RANK = (Empty.PAUSED, Empty.WEIGHT_ZERO, Empty.CLIENT_LIMIT, Empty.BUFFER_FULL, Empty.MOVING, Empty.NO_MESSAGE)


class Asking:
    """The pulls of this worker's clients, over all workers."""

    def __init__(
        self, groups: Groups, here: Callable[[], Sized], routes: Routes, waiting_here: Callable[[], int]
    ) -> None:
        """``here`` are the partitions of this worker, ``waiting_here`` counts the messages nobody was handed there."""
        self._groups = groups
        self._here = here
        self._routes = routes
        self._waiting_here = waiting_here
        self._numbers = count(1)
        self._demands: dict[int, _Demand] = {}
        self._searches: set[_Search] = set()
        #: Answers that came for clients that had been served already, or had gone; in messages.
        self.returned = 0
        self.relayed = 0

    def waiting(self) -> Counter[str]:
        """The clients of this worker that wait, and with how many pulls."""
        return Counter(search.asked.pull.client for search in self._searches)

    async def pull(self, pull: Pull, *, wait: float, anonymous: bool, wish: Wish) -> Answer | Relayed | Empty:
        """Wait up to ``wait`` seconds for messages. If cancelled, whatever was handed out goes back."""
        asked = _Asked(pull, anonymous, wish)
        until = monotonic() + wait
        if pull.again:
            answered = await self._answered_before(asked)
            if answered is not None:
                return answered
            asked = _Asked(msgspec.structs.replace(pull, again=False), anonymous, wish)
        for place in self._routes.turn(self._waiting_here()) if self._routes else ():
            found = await self._try(place, asked)
            if not isinstance(found, Empty):
                return found
        peers = list(self._routes.owners()) if self._routes else []
        return await self._search(asked, peers, here=True, wait=max(0.0, until - monotonic()))

    def at_once(self, pull: Pull, *, anonymous: bool) -> Answer | None:
        """What this worker has for a client at this moment; None too where another one is to be asked first."""
        if self._routes and not self._routes.here_first(self._waiting_here()):
            return None
        queue = self._groups.of(pull.group)
        return None if queue is None else queue.pulls.at_once(pull, anonymous=anonymous)

    async def _answered_before(self, asked: _Asked) -> Answer | Relayed | None:
        """What a pull that is sent again was answered with, by whichever worker."""
        queue = self._groups.of(asked.pull.group)
        here = None if queue is None else queue.pulls.at_once(asked.pull, anonymous=asked.anonymous)
        peers = self._routes.owners()
        if here is not None or not peers:
            return here
        found = await self._search(asked, peers, here=False, wait=_TRY_FOR, waits=False)
        return None if isinstance(found, Empty) else found

    async def _try(self, place: Peer | None, asked: _Asked) -> Answer | Relayed | Empty:
        """Ask one worker for what it has at this moment."""
        if place is None:
            queue = self._groups.of(asked.pull.group)
            if queue is None:
                return Empty.MOVING
            return await queue.pulls.pull(asked.pull, wait=0.0, anonymous=asked.anonymous)
        found = await self._search(asked, [place], here=False, wait=_TRY_FOR, waits=False)
        if isinstance(found, Empty):
            self._routes.emptied(place)
        return found

    async def _search(
        self, asked: _Asked, peers: list[Peer], *, here: bool, wait: float, waits: bool = True
    ) -> Answer | Relayed | Empty:
        search = _Search(self, asked, waits=waits)
        self._searches.add(search)
        handle = None
        try:
            queue = self._groups.of(asked.pull.group) if here else None
            if queue is not None:
                search.wait_here(queue.pulls)
            if not search.found.done():
                for peer in peers:
                    search.wait_at(peer)
                if wait > 0:
                    handle = asyncio.get_running_loop().call_later(wait, search.time_is_up)
                else:
                    search.time_is_up()
            found = await search.found
        except asyncio.CancelledError:
            search.abandon()
            raise
        finally:
            if handle is not None:
                handle.cancel()
            self._searches.discard(search)
            search.leave()
        if isinstance(found, Relayed):
            self.relayed += found.messages
        return found if found is not None else self._why(search.reasons, asked.pull, here=here)

    def _why(self, reasons: set[Empty], pull: Pull, *, here: bool) -> Empty:
        queue = self._groups.of(pull.group) if here else None
        if queue is not None:
            own = queue.dispatcher.why_empty(pull, monotonic())
            # Having no partitions is no reason while others have them all.
            if own is not Empty.MOVING or self._here() or not self._routes.known():
                reasons = {*reasons, own}
        return next((reason for reason in _RANK if reason in reasons), Empty.NO_MESSAGE)

    # What comes of it ------------------------------------------------------------------------------------------------

    def handed(self, peer: Peer, frame: Handed) -> None:
        demand = self._demands.pop(frame.number, None)
        relayed = Relayed(peer, frame)
        if demand is None or not demand.search.handed(demand, relayed):
            self.returned += frame.messages
            relayed.give_back()
        else:
            self._routes.took(peer, frame.messages)

    def nothing(self, peer: Peer, frame: Nothing) -> None:
        demand = self._demands.pop(frame.number, None)
        if demand is not None:
            demand.search.nothing(demand, reason_of(frame))

    def owner_came(self, peer: Peer) -> None:
        """This worker has partitions now: whoever waits here waits there too."""
        for search in list(self._searches):
            if search.waits and not search.ending and not search.is_at(peer):
                search.wait_at(peer)

    def lost(self, peer: Peer) -> None:
        for number, demand in list(self._demands.items()):
            if demand.peer is peer:
                del self._demands[number]
                demand.search.nothing(demand, None)

    # For the searches ------------------------------------------------------------------------------------------------

    def send(self, search: _Search, peer: Peer) -> _Demand:
        number = next(self._numbers)
        demand = self._demands[number] = _Demand(number, peer, search)
        asked = search.asked
        pull = asked.pull
        peer.send(
            Demand(
                number,
                pull.client,
                pull.group,
                pull.max_messages,
                pull.max_bytes,
                pull.ack_wait,
                asked.anonymous,
                search.waits,
                asked.wish,
                pull.receive_id,
                pull.again,
            )
        )
        return demand

    def forget(self, demand: _Demand) -> None:
        if self._demands.pop(demand.number, None) is not None:
            demand.peer.send(EndDemand(demand.number))


class _Asked:
    """What a client wants."""

    __slots__ = ("anonymous", "pull", "wish")

    def __init__(self, pull: Pull, anonymous: bool, wish: Wish) -> None:
        self.pull = pull
        self.anonymous = anonymous
        self.wish = wish


class _Demand:
    """One client's place at one other worker."""

    __slots__ = ("number", "peer", "search")

    def __init__(self, number: int, peer: Peer, search: _Search) -> None:
        self.number = number
        self.peer = peer
        self.search = search


class _Search:
    """One client that waits, here and elsewhere, for the first answer."""

    __slots__ = ("_asking", "_demands", "_number", "_pulls", "asked", "ending", "found", "reasons", "waits")

    def __init__(self, asking: Asking, asked: _Asked, *, waits: bool) -> None:
        self.asked = asked
        self.waits = waits
        self.found: asyncio.Future[Answer | Relayed | None] = asyncio.get_running_loop().create_future()
        #: The client's time is up; what is still on its way is welcome.
        self.ending = False
        self.reasons: set[Empty] = set()
        self._asking = asking
        self._demands: set[_Demand] = set()
        self._pulls: Pulls | None = None
        self._number: int | None = None

    def wait_here(self, pulls: Pulls) -> None:
        self._pulls = pulls
        number = pulls.add(self.asked.pull, self, anonymous=self.asked.anonymous)
        self._number = None if self.found.done() else number

    def wait_at(self, peer: Peer) -> None:
        if not self.found.done():
            self._demands.add(self._asking.send(self, peer))

    def is_at(self, peer: Peer) -> bool:
        return any(demand.peer is peer for demand in self._demands)

    def time_is_up(self) -> None:
        """Let the workers say why there was nothing, or hand over what has just come."""
        if self.found.done() or self.ending:
            return
        self.ending = True
        self._leave_here()
        if self.waits:
            for demand in self._demands:
                demand.peer.send(EndDemand(demand.number))
            asyncio.get_running_loop().call_later(_REASON_FOR, self._give_up)
        else:
            self._give_up()
        self._done_if_all_said()

    def _give_up(self) -> None:
        if not self.found.done():
            self.found.set_result(None)

    def _done_if_all_said(self) -> None:
        if not self._demands and (self.ending or not self.waits):
            self._give_up()

    def leave(self) -> None:
        """It is over: wait nowhere any more."""
        self._leave_here()
        for demand in self._demands:
            self._asking.forget(demand)
        self._demands.clear()

    def _leave_here(self) -> None:
        if self._pulls is not None and self._number is not None:
            number, self._number = self._number, None
            self._pulls.end(number)

    def abandon(self) -> None:
        """Its client has gone: what was found in the same turn of the loop goes back."""
        found = self.found.result() if self.found.done() and not self.found.cancelled() else None
        if isinstance(found, Relayed):
            self._asking.returned += found.messages
            found.give_back()
        elif found is not None and self._pulls is not None:
            self._pulls.release(found)

    # From this worker's queue ----------------------------------------------------------------------------------------

    def take(self, answer: Answer) -> bool:
        self._number = None
        if self.found.done():
            return False
        self.found.set_result(answer)
        return True

    def go_home(self) -> None:
        """Its place here is gone (this worker stops, or an operator has sent the client away): so is the client."""
        self._number = None
        self.time_is_up()

    # From others -----------------------------------------------------------------------------------------------------

    def handed(self, demand: _Demand, relayed: Relayed) -> bool:
        self._demands.discard(demand)
        if self.found.done():
            return False
        self.found.set_result(relayed)
        return True

    def nothing(self, demand: _Demand, reason: Empty | None) -> None:
        self._demands.discard(demand)
        if reason is not None:
            self.reasons.add(reason)
        self._done_if_all_said()
