"""The shares of groups in this worker: follows what holds, and where this worker leads, changes it.

Rules for this file: only the leader writes, and only what stands on the board holds, here as anywhere. A leader has
read all that an earlier one can have answered before it does anything: what was answered then stood on the board before
the first record in which this one says that it leads. Whether it still may is looked at before each act and each
answer, with nothing awaited in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from fanout_app.core.canary import CanaryState
from fanout_app.core.canary_board import CanaryBoard
from fanout_app.core.canary_row import CanaryRecord, decode_canary, encode_canary
from fanout_app.core.errors import OutdatedError, RowError, UnavailableError
from fanout_app.core.following import Leader
from fanout_app.ports import SourceError
from fanout_app.tasks import Tasks

logger = logging.getLogger("fanout.canary")

#: The key of the record on the board.
KEY = "canary"
#: Seconds between two looks of the leader.
_EVERY = 0.5
#: Seconds for what was written to come back, beside those that Kafka has for taking it.
_READ_BACK_IN = 1.5

#: Makes the next state of one, or None where there is nothing to change. May raise RefusedError.
Change = Callable[[CanaryState], CanaryState | None]


#: Keeps a value under a key of the board. Raises SourceError if Kafka does not take it in a few seconds.
Write = Callable[[str, bytes], Awaitable[object]]


class Leads(Protocol):
    """Who leads, see `fanout_app.leading.Leading`."""

    def leader(self) -> Leader | None: ...
    @property
    def acting_in(self) -> int | None:
        """The epoch in which this worker may act as the leader at this moment."""


class Canary:
    """What holds, for this worker and whoever asks it."""

    def __init__(
        self,
        id: str,
        topic: str,
        leading: Leads,
        write: Write,
        *,
        apply: Callable[[CanaryState], None],
        on_fault: Callable[[BaseException], None],
    ) -> None:
        """``apply`` is called with what holds from now on; for ``on_fault`` see `Tasks`."""
        self._id = id
        self._topic = topic
        self._leading = leading
        self._write_to_board = write
        self._apply = apply
        self._read = CanaryBoard()
        #: What was applied last: what stood there at the start, until all of it has been read.
        self._applied = CanaryState()
        self._caught_up = False
        #: The latest epoch of our own of which everybody can have read that it has begun.
        self._announced_in: int | None = None
        #: The highest version ever written by this worker: one that was not heard of again may come late.
        self._highest = 0
        self._tasks = Tasks(on_fault)
        self._changing = asyncio.Lock()
        self._to_look = asyncio.Event()
        self._has_read = asyncio.Event()

    @property
    def state(self) -> CanaryState:
        """What holds, as far as this worker knows."""
        return self._applied

    def was(self, row: bytes) -> None:
        """This stood there last before the worker was to begin: better than nothing until all of it is read."""
        record = self._decoded(row)
        if record is not None:
            self._use(record.state)

    def answered(self, record: CanaryRecord) -> None:
        """The leader has answered that this holds: it stands on the board, and is read here a moment later."""
        self._read.told(record)
        self._hold()

    def start(self) -> None:
        self._tasks.start(self._look_on(), "keep-shares")

    async def stop(self) -> None:
        await self._tasks.stop()

    # From the board --------------------------------------------------------------------------------------------------

    def hear(self, row: bytes | None, *, live: bool = True) -> None:
        """A record was read, in the board's order; not ``live``: it stood there before this worker began to read."""
        record = self._decoded(row) if row is not None else None
        if record is None:
            return
        self._read.read(record, self._followed())
        if not live:
            return
        self._hold()
        if self._read.latest != self._read.record:
            logger.warning(
                "a worker that leads no more has written version %s of the shares: ignored", record.state.tag
            )
            self._to_look.set()

    def _decoded(self, row: bytes) -> CanaryRecord | None:
        try:
            return decode_canary(row, id=self._id, topic=self._topic)
        except RowError as error:
            logger.warning("%s on the board is left out: %s", KEY, error)
            return None

    def caught_up(self) -> None:
        """All that stood there has been read: of what was there one after the other the last thing holds."""
        self._caught_up = True
        self._hold()

    def hear_leader(self, leader: Leader, *, me: bool) -> None:
        """The leader's record was read, which counts."""
        if me and leader.epoch != self._announced_in:
            self._announced_in = leader.epoch
            self._to_look.set()
        self._read.look(leader.epoch)
        self._hold()

    def _followed(self) -> int | None:
        leader = self._leading.leader()
        return leader.epoch if leader is not None else None

    def _hold(self) -> None:
        if self._caught_up:
            self._use(self._read.state)
        self._has_read.set()
        self._has_read = asyncio.Event()

    def _use(self, state: CanaryState) -> None:
        if state != self._applied:
            self._applied = state
            self._apply(state)

    # As the leader ---------------------------------------------------------------------------------------------------

    async def change(self, change: Change, tags: Collection[str] | None) -> CanaryRecord:
        """Make another state hold, and answer what holds then; for the leader alone.

        Args:
            tags: it must be the next of one of these (`CanaryState.tag`); None: of any.

        Raises:
            OutdatedError: what holds is none of these.
            RefusedError: see ``change``.
            UnavailableError: this worker does not lead, or it is not known whether the change holds.
        """
        async with self._changing:
            epoch = self._acting()
            state = self._read.state
            if tags is not None and state.tag not in tags:
                raise OutdatedError(f"what holds now is {state.tag}: read it again")
            changed = change(state)
            if changed is None:
                return self._read.record
            self._highest = max(self._highest + 1, changed.version)
            record = CanaryRecord(epoch, replace(changed, version=self._highest, made_in=epoch))
            await self._write(record)
            await self._until_read(record)
            if self._acting() != epoch or self._read.record != record:
                raise UnavailableError("another worker leads now: whether the change holds is unknown, read and ask")
            return record

    def may_change(self) -> bool:
        """Whether this worker leads, and knows what holds."""
        epoch = self._leading.acting_in
        return self._caught_up and epoch is not None and epoch == self._announced_in

    def _acting(self) -> int:
        epoch = self._leading.acting_in
        if epoch is None or not self.may_change():
            raise UnavailableError("this worker does not lead, or has not read yet what holds: ask again")
        return epoch

    async def _write(self, record: CanaryRecord) -> None:
        try:
            await self._write_to_board(KEY, encode_canary(record, id=self._id, topic=self._topic))
        except SourceError:
            raise UnavailableError("Kafka did not take it in time: whether it holds is unknown, ask again") from None

    async def _until_read(self, record: CanaryRecord) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_READ_BACK_IN):
                while self._read.latest != record:
                    await self._has_read.wait()

    async def _look_on(self) -> None:
        while True:
            self._to_look.clear()
            with suppress(UnavailableError):  # somebody else leads, or Kafka is away: both are said
                await self._see_that_it_stands()
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._to_look.wait()

    async def _see_that_it_stands(self) -> None:
        """What stands on the board is what holds, in our epoch."""
        async with self._changing:
            due = self._read.to_write(self._acting())
            if due is not None:
                await self._write(due)
                await self._until_read(due)
