"""Settles: worked off in memory at once, and answered when the changelog has what they changed.

Rules for this file: all of a settle together waits no longer than `MOVING`, however many partitions and rejects it has;
what is not known by then is answered with ``retry``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.lease import LeaseRun
from fanout_app.core.message import Message
from fanout_app.core.requests import Entry, Settle, SettleOutcome, Status
from fanout_app.core.settling import Pending, Settling
from fanout_app.group_commit import GroupCommit, Waiter
from fanout_app.ports import Bodies, DeadLetterSink, SourceError

logger = logging.getLogger("fanout.settles")

#: Seconds a settle waits for its partition to come back from a rebalance and for its row to be written (`docs/api.md`).
MOVING = 5.0


class Begun:
    """A settle that has been worked off in memory, and is to be answered when the changelog has it."""

    __slots__ = ("_commit", "_pending", "_until", "outcome")

    def __init__(self, commit: GroupCommit, outcome: SettleOutcome, pending: dict[int, Pending], until: float) -> None:
        """``pending`` is what it waits for, ``until`` this time of the monotonic clock."""
        self._commit = commit
        self._pending = pending
        self._until = until
        self.outcome = outcome

    @property
    def rows(self) -> int:
        """How many rows are to be waited for."""
        return len(self._pending)

    def tell(self, waiter: Waiter) -> None:
        """Tell when its row is written, if it is one: see `GroupCommit.tell`."""
        for number, pending in self._pending.items():
            self._commit.tell(waiter, number, pending.version, self._until)

    def tell_no_more(self, waiter: Waiter) -> None:
        for number in self._pending:
            self._commit.tell_no_more(waiter, number)

    async def written(self) -> SettleOutcome:
        """Wait for all rows. What is not known to be in the changelog by then is answered with ``retry``."""
        outcome = self.outcome
        for number, pending in self._pending.items():
            # All of it together waits no longer than one of them may.
            if not await self._commit.written(number, pending.version, max(0.0, self._until - monotonic())):
                outcome.acked -= pending.acked
                outcome.rejected -= pending.rejected
                outcome.results = [
                    (token, status) for token, status in outcome.results if token not in set(pending.tokens)
                ]
                outcome.results.extend((token, Status.RETRY) for token in pending.tokens)
        return outcome


class Settles:
    """Takes the settles of one worker."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        commit: GroupCommit,
        sink: DeadLetterSink,
        bodies: Bodies,
        *,
        moved: asyncio.Event,
        worked_off: Callable[[SettleOutcome], None],
    ) -> None:
        """``moved`` is set while no rebalance is under way; ``worked_off`` is told of each settle done in memory."""
        self._dispatcher = dispatcher
        self._commit = commit
        self._sink = sink
        self._bodies = bodies
        self._moved = moved
        self._worked_off = worked_off

    async def settle(self, settle: Settle, until: float | None = None) -> SettleOutcome:
        """Work a settle body off. Answered when the changelog has it, unless the body says not to wait for that.

        ``until`` is a time of the monotonic clock at which it has to be answered, by default in `MOVING` seconds.
        """
        if until is None:
            until = monotonic() + MOVING
        await self._in_place(settle, until)
        settling = Settling(self._dispatcher, monotonic())
        settling.run(settle)
        if settling.rejects:
            await asyncio.gather(*(self._reject(entry, run, settling, until) for entry, run in settling.rejects))
        return await self._begun(settle, settling, until).written()

    def begin(self, settle: Settle) -> Begun | None:
        """Work a settle body off in memory, here and now. None: something has to be waited for first, nothing is done.

        That is a partition that may be about to come back, or that a rejected message is put away.
        """
        if settle.reject or not self._moved.is_set():
            return None
        now = monotonic()
        settling = Settling(self._dispatcher, now)
        settling.run(settle)
        return self._begun(settle, settling, now + MOVING)

    def _begun(self, settle: Settle, settling: Settling, until: float) -> Begun:
        self._worked_off(settling.outcome)
        if settle.durable:
            return Begun(self._commit, settling.outcome, settling.pending, until)
        self._commit.kick()
        return Begun(self._commit, settling.outcome, {}, until)

    async def _in_place(self, settle: Settle, until: float) -> None:
        """Wait, for a while, until the partitions of these tokens are there: a rebalance is over in a moment."""
        if self._moved.is_set():
            return
        waits = any(
            entry.ref is not None
            for entries in (settle.extend, settle.nack, settle.reject, settle.ack)
            for entry in entries
        )
        if waits:
            try:
                async with asyncio.timeout(until - monotonic()):
                    await self._moved.wait()
            except TimeoutError:
                logger.debug("partitions are still moving, settles are answered with retry")

    async def _reject(self, entry: Entry, run: LeaseRun, settling: Settling, until: float) -> None:
        """Put a rejected message where nobody is handed it any more, and only then settle it."""
        message: Message | None = run.messages[0]
        offset = run.messages[0].offset
        try:
            async with asyncio.timeout(until - monotonic()):
                if run.handed_over:
                    message = (await self._bodies.read(run.partition, [offset])).get(offset)
                if message is not None:  # else the log has it no more, and there is nothing to put away
                    await self._sink.put(
                        run.partition,
                        message,
                        delivery_count=run.delivery_count,
                        reason=entry.reason or "rejected",
                        client=run.client,
                    )
        except (SourceError, TimeoutError) as error:
            logger.warning("partition %d/%d: not rejected, it stays with its client: %r",
                           run.partition, offset, error)  # fmt: skip
            settling.not_rejected(entry, run, monotonic())
        else:
            settling.rejected(entry, run, offset)
