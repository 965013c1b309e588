"""Leadership in this worker: asks the election, tells the core, and lets the others know on the board.

Rules for this file: `Leading.may_act` is looked at before each act and each answer, with nothing awaited in between.
Asking and telling are two tasks: neither a ZooKeeper nor a Kafka that does not answer may hold the other one up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Protocol

from fanout_app.core.following import FORGET_AFTER, Following, Leader
from fanout_app.core.leader_row import decode_leader, encode_leader
from fanout_app.core.leadership import Leadership
from fanout_app.core.roster import Heartbeat, Roster
from fanout_app.options import Options
from fanout_app.ports import Election, ElectionError, SourceError
from fanout_app.tasks import Tasks

logger = logging.getLogger("fanout.leading")

#: The key of the leader's record on the board.
KEY = "leader"
#: Seconds between two records of the leader, and between two questions of whether it leads still; less where that would
#: not be at least four times in a --leader-lease, so that one which fails to come does no harm.
_EVERY = 0.5
_TIMES_A_LEASE = 4


class Board(Protocol):
    """The board as the leader needs it."""

    @property
    def roster(self) -> Roster: ...
    @property
    def last_acknowledged(self) -> float:
        """When the last of our heartbeats that Kafka has acknowledged was sent, monotonic."""

    async def write(self, key: str, value: bytes) -> object:
        """Raises SourceError if Kafka does not take it in a few seconds."""


class Leading:
    """Who leads, and whether it is this worker."""

    def __init__(
        self, options: Options, me: str, election: Election, board: Board, on_fault: Callable[[BaseException], None]
    ) -> None:
        """For ``on_fault`` see `Tasks`."""
        self._options = options
        self._me = me
        self._election = election
        self._board = board
        self._leadership = Leadership(options.leader_lease, options.leader_timeout)
        self._following = Following(me, options.leader_timeout)
        self._heard = Roster(me, options.leader_timeout)
        self._every = min(_EVERY, options.leader_lease / _TIMES_A_LEASE)
        self._tasks = Tasks(on_fault)
        self._to_ask = asyncio.Event()
        self._to_tell = asyncio.Event()
        self._outranked = False
        #: When it was heard last before it made room, as the log has it.
        self._unheard_since: float | None = None
        #: Whom the log named as the leader last.
        self._announced = ""
        #: Told of every record of the leader that counts, and whether it is this worker's own.
        self.on_heard: Callable[[Leader, bool], None] = lambda leader, me: None

    # What others ask -------------------------------------------------------------------------------------------------

    def may_act(self) -> bool:
        """Whether this worker may act as the leader at this moment."""
        return self._leadership.may_act(monotonic(), self._board.last_acknowledged)

    def leader(self) -> Leader | None:
        """Who leads, as everybody reads it on the board. This worker names itself while it may act, and only then."""
        mine = self._mine()
        if mine is not None and mine.epoch >= (self._following.epoch or 0):
            return mine
        leader = self._following.leader(monotonic())
        return leader if leader is not None and leader.worker != self._me else None

    @property
    def epoch(self) -> int | None:
        """The highest epoch known; a record of a smaller one counts for nothing."""
        leader = self.leader()
        return leader.epoch if leader is not None else self._following.epoch

    def _mine(self) -> Leader | None:
        """What this worker may tell the others at this moment."""
        epoch = self._leadership.epoch
        address = next((one.address for one in self._board.roster.present(monotonic()) if one.worker == self._me), None)
        if epoch is None or address is None or not self.may_act():
            return None
        return Leader(worker=self._me, address=address, epoch=epoch)

    @property
    def acting_in(self) -> int | None:
        """The epoch in which this worker may act as the leader at this moment."""
        return self._leadership.epoch if self.may_act() else None

    @property
    def changes(self) -> int:
        """How often another worker than before was followed."""
        return self._following.changes

    def epochs(self) -> tuple[int | None, int | None]:
        """The epoch that this worker follows, and the one whose leader it misses: for its heartbeats."""
        return self._following.epoch, self._following.misses_epoch

    # Life ------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._election.start(self._to_ask.set, self._suspended)
        self._tasks.start(self._ask_on(), "ask-who-leads")
        self._tasks.start(self._tell_on(), "tell-who-leads")

    async def stop(self) -> None:
        """No act any more; the next one may lead at once. May be called again."""
        self._leadership.suspended(monotonic())
        await self._tasks.stop()
        await self._election.stop()

    def _suspended(self) -> None:
        self._leadership.suspended(monotonic())

    # The board -------------------------------------------------------------------------------------------------------

    def hear_leader(self, row: bytes, received: float, *, live: bool) -> None:
        """The leader's record was read; not ``live``: it stood there before this worker began to read.

        Raises:
            RowError: it is none of ours.
        """
        leader = decode_leader(row, id=self._options.id, topic=self._options.topic)
        if not live:
            self._following.heard_before(received, leader)
            return
        if not self._following.heard(received, leader):
            logger.debug("a record of epoch %d, which is over", leader.epoch)
            return
        self.on_heard(leader, leader.worker == self._me)
        if leader.worker != self._announced:
            self._announced = leader.worker
            whose = "this worker" if leader.worker == self._me else f"worker {leader.worker} at {leader.address}"
            logger.info("%s leads, epoch %d", whose, leader.epoch)

    def hear_worker(self, heartbeat: Heartbeat, received: float) -> None:
        """A heartbeat was read, in the board's order; our own ones included."""
        self._heard.heard(received, heartbeat)
        if heartbeat.worker == self._me:
            self._following.read_back(received, heartbeat.sent_at)

    # Asking ----------------------------------------------------------------------------------------------------------

    async def _ask_on(self) -> None:
        while True:
            self._to_ask.clear()
            try:
                await self._ask()
                await self._vote()
            except ElectionError as error:
                logger.debug("%s", error)
            await _either(self._to_ask, self._every)

    async def _ask(self) -> None:
        asked_at, before = monotonic(), self._leadership.epoch
        epoch = await self._election.held()
        now = monotonic()
        self._leadership.answered(now, asked_at, epoch)
        if epoch is not None and epoch != before:
            logger.debug("elected, epoch %d", epoch)
            asyncio.get_running_loop().call_later(self._options.leader_lease, self._to_tell.set)
        if self._leadership.should_resign(now, self._board.last_acknowledged):
            self._tell_unheard()
            await self._election.resign()

    def _tell_unheard(self) -> None:
        """Once until it is heard again: while Kafka is away it is elected and makes room in turn with the others."""
        since = self._board.last_acknowledged
        if self._election.votes and since != self._unheard_since:
            self._unheard_since = since
            logger.warning("this worker could lead and is not heard by the others: it makes room for another one")

    async def _vote(self) -> None:
        epoch = self._following.to_depose(self._heard.present(monotonic()))
        if epoch is not None and self._election.votes and await self._election.depose(epoch):
            logger.warning("the leader of epoch %d is silent, as most workers say: deposed", epoch)

    # Telling ---------------------------------------------------------------------------------------------------------

    async def _tell_on(self) -> None:
        while True:
            self._to_tell.clear()
            began = monotonic()
            mine = self._mine()
            if mine is not None:
                self._see_that_it_counts(mine.epoch)
                with suppress(SourceError):  # said once by the heartbeats, which fail with it
                    await self._board.write(KEY, encode_leader(mine, id=self._options.id, topic=self._options.topic))
            await _either(self._to_tell, self._every - (monotonic() - began))

    def _see_that_it_counts(self, epoch: int) -> None:
        """Epochs only grow, unless whoever hands them out has been made anew."""
        highest = self._following.epoch
        if highest is not None and epoch < highest and not self._outranked:
            self._outranked = True
            logger.warning(
                "this worker was elected in epoch %d, but the board has epoch %d: was ZooKeeper made anew, or left "
                "out? The others follow once that epoch was silent for %.0f s", epoch, highest, FORGET_AFTER,
            )  # fmt: skip


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Until the event, or for so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
