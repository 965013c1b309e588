"""What the leader alone changes: any worker is asked for it, and passes it on.

An answer is what holds after the change, so that whoever was asked knows it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, Literal, Protocol

import msgspec

from fanout_app.canary import Change
from fanout_app.cluster.gathering import Answerer, Gathering
from fanout_app.cluster.ports import Peer
from fanout_app.core import canary
from fanout_app.core.canary_row import CanaryRecord
from fanout_app.core.errors import UnavailableError
from fanout_app.core.following import Leader

QUESTION = "change-shares"
#: Seconds for the leader's answer: what Kafka has for a record, and its way back.
_WITHIN = 4.8


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to be changed."""

    what: Literal["put", "promote", "rollback"]
    #: For "put".
    wanted: canary.Wanted | None = None
    #: For the others; None: the only one beside stable.
    group: str | None = None
    #: Only if what holds is one of these; None: whatever holds.
    tags: list[str] | None = None

    @property
    def change(self) -> Change:
        if self.wanted is not None:
            return partial(canary.put, wanted=self.wanted)
        return partial(canary.promote if self.what == "promote" else canary.roll_back, group=self.group)


class Shares(Protocol):
    """This worker's part, see `fanout_app.canary.Canary`."""

    async def change(self, change: Change, tags: Collection[str] | None) -> CanaryRecord: ...
    def answered(self, record: CanaryRecord) -> None: ...


class LeaderOnly:
    """Passes on what is wanted to whoever leads."""

    def __init__(
        self,
        me: str,
        shares: Shares,
        gathering: Gathering,
        *,
        leader: Callable[[], Leader | None],
        peers: Callable[[], Iterable[Peer]],
    ) -> None:
        self._me = me
        self._shares = shares
        self._gathering = gathering
        self._leader = leader
        self._peers = peers

    async def change(self, wish: Wish) -> None:
        """It is done when this returns, and holds here.

        Raises:
            OutdatedError, RefusedError: as the leader says.
            UnavailableError: nobody leads, or whether it was done is unknown.
        """
        leader = self._leader()
        if leader is None:
            raise UnavailableError("no worker leads at the moment, and only the leader changes this: ask again")
        if leader.worker == self._me:
            await self._shares.change(wish.change, wish.tags)
            return
        peer = next((peer for peer in self._peers() if peer.name == leader.worker), None)
        if peer is None:
            raise UnavailableError(f"this worker has no connection to the leader, {leader.worker}: ask again")
        told = await self._gathering.ask(peer, QUESTION, wish, within=_WITHIN)
        try:
            record = msgspec.convert(told, CanaryRecord)
        except msgspec.ValidationError:
            raise UnavailableError("the leader is of another version: read what holds now") from None
        self._shares.answered(record)


def answerer(shares: Shares) -> Answerer:
    """What the leader answers to the others."""

    async def change(how: Any) -> Any:
        try:
            wish = msgspec.convert(how, Wish)
        except msgspec.ValidationError:
            raise UnavailableError(
                "the leader, which is of another version, does not understand what is wanted"
            ) from None
        return await shares.change(wish.change, wish.tags)

    return change
