"""Settles of clients of several groups in one request: each entry is for the group that its batch was handed out to."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from time import monotonic

from fanout_app.core.group_bits import split
from fanout_app.core.requests import Entry, Settle, SettleOutcome, Status
from fanout_app.ledger_group import LedgerGroup
from fanout_app.settles import MOVING


class SettlesOfGroups:
    """Hands a settle on to the groups of a worker."""

    #: Set while no rebalance is under way.
    moved: asyncio.Event

    def __init__(self, by_hash: Mapping[int, LedgerGroup], here: Container[int]) -> None:
        """``by_hash`` has the groups by what `hash_of` makes of their names, ``here`` the partitions of this worker."""
        self._by_hash = by_hash
        self._here = here

    async def settle(self, settle: Settle, until: float | None = None) -> SettleOutcome:
        """See `Settles.settle`."""
        until = monotonic() + MOVING if until is None else until
        parts = split(settle)
        total = SettleOutcome()
        for outcome in await asyncio.gather(*(self._settle(of, part, until) for of, part in parts.items())):
            total.add(outcome)
        return total

    async def _settle(self, of: int | None, settle: Settle, until: float) -> SettleOutcome:
        if of is not None and of not in self._by_hash:
            await self._in_place(until)
        group = self._by_hash.get(of) if of is not None else None
        if group is not None:
            return await group.settles.settle(settle, until)
        entries = [*settle.extend, *settle.nack, *settle.reject, *settle.ack]
        return SettleOutcome(results=[(entry.token, self._without_group(entry)) for entry in entries])

    async def _in_place(self, until: float) -> None:
        """A group whose partitions are moving may be here in a moment."""
        try:
            async with asyncio.timeout(until - monotonic()):
                await self.moved.wait()
        except TimeoutError:
            return

    def _without_group(self, entry: Entry) -> Status:
        """What comes of a token of a group that has gone, with all that it held."""
        if entry.ref is None:
            return Status.LEASE_UNKNOWN
        here = self.moved.is_set() and entry.ref.partition in self._here
        return Status.LEASE_LOST if here else Status.RETRY
