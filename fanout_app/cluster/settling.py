"""Settles of messages that other workers have handed out: each entry goes to the worker that owns its partition.

Rules for this file: all of a settle together waits no longer than `MOVING`; what has no owner by then, and what was
sent to a worker whose answer never came, is answered with ``retry``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic

from fanout_app.cluster.frames import Settled
from fanout_app.cluster.pending import Pending
from fanout_app.cluster.ports import Peer
from fanout_app.cluster.routes import Routes
from fanout_app.cluster.wire import add_outcome, settle_frame
from fanout_app.core.requests import Entry, Settle, SettleOutcome, Status
from fanout_app.groups import Groups
from fanout_app.settles import MOVING, Begun

#: Seconds on top of what is left that an owner has to answer: it may wait for as long itself.
_WAY = 0.5


class SettleRouting:
    """Takes the settles of this worker's clients."""

    def __init__(self, settles: Groups, routes: Routes, here: Callable[[], Iterable[int]]) -> None:
        """``here`` are the partitions of this worker."""
        self._settles = settles
        self._routes = routes
        self._here = here
        self._pending: Pending[Settled] = Pending()

    async def settle(self, settle: Settle) -> SettleOutcome:
        """Work a settle body off, wherever its entries belong; see `Settles.settle`."""
        if not self._routes:
            return await self._settles.settle(settle)
        until = monotonic() + MOVING
        outcome = SettleOutcome()
        rest = settle
        while True:
            last = monotonic() >= until
            parts, homeless = self._split(rest, last=last)
            # Before anybody is asked: what changes meanwhile is a reason to look again.
            changed = asyncio.ensure_future(self._routes.change(max(0.0, until - monotonic())))
            try:
                left = await asyncio.gather(
                    *(self._settle_at(peer, part, outcome, until) for peer, part in parts.items())
                )
                rest = _joined(settle.durable, [homeless, *left])
                if _empty(rest):
                    return outcome
                await changed
            finally:
                changed.cancel()

    def begin(self, settle: Settle) -> Begun | None:
        """The same without waiting, up to the row; None where it is not all for this worker, and nothing is done."""
        if self._routes:
            here = self._here()
            for number in _partitions(settle):
                if number not in here or self._routes.owner(number) is not None:
                    return None
        return self._settles.begin(settle)

    def _split(self, settle: Settle, *, last: bool) -> tuple[dict[Peer | None, Settle], Settle]:
        """By owner, None being this worker; and what nobody is known to own, unless it is the ``last`` try."""
        here = set(self._here())
        owners: dict[int, Peer | None] = {}
        homeless: set[int] = set()
        for number in _partitions(settle):
            peer = self._routes.owner(number)
            if peer is None and number not in here and not last:
                homeless.add(number)
            else:
                owners[number] = peer
        # What is no token of ours is answered here, with anything else that is.
        places = {*owners.values(), *([None] if _any_unread(settle) else [])}
        if not homeless and len(places) <= 1:
            return {next(iter(places), None): settle}, Settle()
        parts = {place: _of(settle, owners, place) for place in places}
        return (
            {place: part for place, part in parts.items() if not _empty(part)},
            _only(settle, lambda number: number in homeless, unread=False),
        )

    async def _settle_at(self, peer: Peer | None, settle: Settle, total: SettleOutcome, until: float) -> Settle:
        """Have one worker settle; what it does not own is left."""
        if peer is None:
            total.add(await self._settles.settle(settle, until))
            return Settle()
        # None: what has been settled is not known.
        within = max(0.0, until - monotonic()) + _WAY
        answer = await self._pending.ask(peer, lambda number: settle_frame(number, settle), within)
        if answer is None:
            total.results += [(entry.token, Status.RETRY) for entry in _entries(settle)]
            return Settle()
        add_outcome(total, answer)
        not_here = set(answer.not_here)
        return _only(settle, lambda number: number in not_here, unread=False)

    # What comes of it ------------------------------------------------------------------------------------------------

    def settled(self, peer: Peer, frame: Settled) -> None:
        self._pending.answered(peer, frame.number, frame)

    def lost(self, peer: Peer) -> None:
        self._pending.lost(peer)


def _entries(settle: Settle) -> list[Entry]:
    return [*settle.extend, *settle.nack, *settle.reject, *settle.ack]


def _partitions(settle: Settle) -> set[int]:
    return {entry.ref.partition for entry in _entries(settle) if entry.ref is not None}


def _any_unread(settle: Settle) -> bool:
    return any(entry.ref is None for entry in _entries(settle))


def _empty(settle: Settle) -> bool:
    return not (settle.extend or settle.nack or settle.reject or settle.ack)


def _only(settle: Settle, wanted: Callable[[int], bool], *, unread: bool) -> Settle:
    """The entries of these partitions; those whose token is not ours if they are ``unread``."""

    def chosen(entries: Sequence[Entry]) -> list[Entry]:
        return [entry for entry in entries if (unread if entry.ref is None else wanted(entry.ref.partition))]

    return Settle(
        extend=chosen(settle.extend),
        nack=chosen(settle.nack),
        reject=chosen(settle.reject),
        ack=chosen(settle.ack),
        durable=settle.durable,
    )


def _of(settle: Settle, owners: Mapping[int, Peer | None], place: Peer | None) -> Settle:
    return _only(settle, lambda number: number in owners and owners[number] is place, unread=place is None)


def _joined(durable: bool, settles: Iterable[Settle]) -> Settle:
    some = list(settles)
    return Settle(
        extend=[entry for one in some for entry in one.extend],
        nack=[entry for one in some for entry in one.nack],
        reject=[entry for one in some for entry in one.reject],
        ack=[entry for one in some for entry in one.ack],
        durable=durable,
    )
