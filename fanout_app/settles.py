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
from fanout_app.core.settling import Settling
from fanout_app.group_commit import GroupCommit
from fanout_app.ports import Bodies, DeadLetterSink, SourceError

logger = logging.getLogger("fanout.settles")

#: Seconds a settle waits for its partition to come back from a rebalance and for its row to be written (`docs/api.md`).
MOVING = 5.0


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
        outcome = settling.run(settle)
        if settling.rejects:
            await asyncio.gather(*(self._reject(entry, run, settling, until) for entry, run in settling.rejects))
        self._worked_off(outcome)
        if not settle.durable:
            self._commit.kick()
            return outcome
        for number, pending in settling.pending.items():
            # All of it together waits no longer than one of them may.
            if not await self._commit.written(number, pending.version, max(0.0, until - monotonic())):
                outcome.acked -= pending.acked
                outcome.rejected -= pending.rejected
                outcome.results = [
                    (token, status) for token, status in outcome.results if token not in set(pending.tokens)
                ]
                outcome.results.extend((token, Status.RETRY) for token in pending.tokens)
        return outcome

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
