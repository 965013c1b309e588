"""Questions to all workers at once: what stands in status, partitions, clients and leases is asked of each.

An answer is whatever msgpack can hold; who does not answer in time is named, not waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from fanout_app.cluster.frames import Question, Reply
from fanout_app.cluster.pending import Pending
from fanout_app.cluster.ports import Peer
from fanout_app.core.errors import (
    FanoutError,
    GroupsFullError,
    LeasesLiveError,
    NotOwnedError,
    OutdatedError,
    RefusedError,
    UnavailableError,
)
from fanout_app.tasks import Tasks

#: Seconds that a worker has to answer a question about itself.
_ANSWER_IN = 2.0
#: Errors that are the asking client's business too, by the name they go by between workers.
_ERRORS: dict[str, type[FanoutError]] = {
    "groups-full": GroupsFullError,
    "leases-live": LeasesLiveError,
    "not-owned": NotOwnedError,
    "outdated": OutdatedError,
    "refused": RefusedError,
    "unavailable": UnavailableError,
}

#: Answers a question about this worker. May raise one of the errors above.
Answerer = Callable[[Any], Awaitable[Any]]


class Gathering:
    """Asks the other workers, and answers what they ask."""

    def __init__(self, peers: Callable[[], Iterable[Peer]], answerers: Mapping[str, Answerer], tasks: Tasks) -> None:
        self._peers = peers
        self._answerers = answerers
        self._tasks = tasks
        self._pending: Pending[Reply] = Pending()

    async def ask_all(self, what: str, how: object = None, *, within: float = _ANSWER_IN) -> dict[str, Any]:
        """The answers of the other workers by their names; None for one that did not answer."""
        peers = list(self._peers())
        answers = await asyncio.gather(*(self.ask(peer, what, how, within=within) for peer in peers),
                                       return_exceptions=True)  # fmt: skip
        return {
            peer.name: None if isinstance(answer, BaseException) else answer
            for peer, answer in zip(peers, answers, strict=True)
        }

    async def ask(self, peer: Peer, what: str, how: object = None, *, within: float = _ANSWER_IN) -> Any:
        """One worker's answer.

        Raises:
            UnavailableError: none came in time.
            LeasesLiveError, NotOwnedError, OutdatedError, RefusedError: as that worker says.
        """
        asked = msgspec.msgpack.encode(how)
        told = await self._pending.ask(peer, lambda number: Question(number, what, asked), within)
        if told is None:
            raise UnavailableError(f"worker {peer.name} did not answer: ask again")
        if told.error:
            raise _ERRORS.get(told.error, UnavailableError)(told.text)
        return msgspec.msgpack.decode(told.what)

    # From others -----------------------------------------------------------------------------------------------------

    def question(self, peer: Peer, frame: Question) -> None:
        self._tasks.start(self._answer(peer, frame), f"answer-{frame.what}")

    async def _answer(self, peer: Peer, frame: Question) -> None:
        answerer = self._answerers.get(frame.what)
        if answerer is None:
            peer.send(Reply(frame.number, b"", "unavailable", "a worker of another version does not know the question"))
            return
        try:
            how = msgspec.msgpack.decode(frame.how)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            peer.send(Reply(frame.number, b"", "unavailable", "the question cannot be read"))
            return
        try:
            answer = await answerer(how)
        except tuple(_ERRORS.values()) as error:
            kind = next(name for name, of in _ERRORS.items() if isinstance(error, of))
            peer.send(Reply(frame.number, b"", kind, str(error)))
        else:
            peer.send(Reply(frame.number, msgspec.msgpack.encode(answer)))

    def reply(self, peer: Peer, frame: Reply) -> None:
        self._pending.answered(peer, frame.number, frame)

    def lost(self, peer: Peer) -> None:
        self._pending.lost(peer)
