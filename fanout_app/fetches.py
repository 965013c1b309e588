"""What the intake does with fetches: offers them to the queue, reads again what was dropped, watches the log.

No record can be counted on to arrive (see `fanout_app.kafka.transport`): reading goes by the queue's own next offset.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.partition import PartitionQueue
from fanout_app.group_commit import QUIET
from fanout_app.ports import Fetch, Source, SourceError

logger = logging.getLogger("fanout.fetches")

#: A position ahead of what has arrived for so long means that a fetch was dropped.
_DROPPED_AFTER = 0.5
#: A log that ends before what was read already is believed only when it is read so often: a new leader may lag.
_READINGS = 3
#: Looks at the log of which one asks for the id of the topic: it is for what seldom happens, and may be late.
_ID_EVERY = 5


class Kicked(Protocol):
    """What is told that there is something to write."""

    def kick(self, within: float = 0.0) -> None: ...


class Fetches:
    """The intake of one worker's partitions."""

    def __init__(self, dispatcher: Dispatcher, commit: Kicked, source: Source, *, serve: Callable[[], None]) -> None:
        """``serve`` is called when there may be more to hand out."""
        self._dispatcher = dispatcher
        self._commit = commit
        self._source = source
        self._serve = serve
        self._starved = False
        #: Partition -> position and next offset, and since when they differ so.
        self._ahead: dict[int, tuple[tuple[int, int], float]] = {}
        #: Kafka did not answer when it was asked last, which has been told.
        self._silent = False
        #: How often the log of a partition ended before what was read of it.
        self._short: dict[PartitionQueue, int] = {}
        self._looks = 0

    def wants(self, number: int) -> bool:
        """Whether to fetch from this partition now."""
        wanted = self._dispatcher.wants(number, monotonic())
        if not wanted:
            self._starved = True
        return wanted

    def feed(self) -> None:
        """Something may be wanted now that was not before."""
        if self._starved:
            self._starved = False
            self._source.wake_up()

    async def take(self, fetch: Fetch) -> None:
        """A fetch has arrived. Does not raise: the agent that calls this must not end."""
        if self._dispatcher.offer(fetch.partition, fetch.asked, fetch.after, fetch.messages):
            self._ahead.pop(fetch.partition, None)
            self._serve()
            if len(fetch.messages) != fetch.after - fetch.asked:
                self._commit.kick(QUIET)
        else:
            await self._read_again(fetch.partition)

    async def _read_again(self, number: int) -> None:
        """A fetch did not follow the one before: something was dropped on the way, or the log has lost its start."""
        partition = self._dispatcher.partitions.get(number)
        if partition is None or partition.suspended or partition in self._short:
            return
        try:
            log_start = await self._source.log_start(number)
            if self._dispatcher.partitions.get(number) is partition and not partition.suspended:
                self._log_starts_at(number, log_start)
                await self._source.seek(number, partition.next_offset)
        except SourceError as error:
            logger.warning("partition %d: could not read again from %d: %s", number, partition.next_offset, error)

    def _log_starts_at(self, number: int, offset: int) -> None:
        lost = self._dispatcher.log_starts_at(number, offset)
        if lost:
            logger.error(
                "partition %d: %d messages below offset %d were deleted by retention before anyone settled them",
                number, lost, offset,
            )  # fmt: skip
            self._commit.kick()

    def position(self, number: int, position: int) -> int | None:
        """Where the consumer stands after a poll without news; the offset to seek to if fetches were dropped.

        What is ahead of the intake's next offset may still be under way to it, so it has to stay so for a while.
        """
        partition = self._dispatcher.partitions.get(number)
        if partition is None or partition.suspended or position <= partition.next_offset:
            self._ahead.pop(number, None)
            return None
        seen = (position, partition.next_offset)
        now = monotonic()
        before, since = self._ahead.get(number, (None, now))
        if before != seen:
            self._ahead[number] = (seen, now)
            return None
        if now - since < _DROPPED_AFTER:
            return None
        del self._ahead[number]
        return partition.next_offset

    async def watch_log(self) -> set[int]:
        """Look where the logs end, for what is still waiting in Kafka. Called every few seconds.

        Returns:
            Partitions whose log certainly is not what was read of it: it ends before that, or its topic has another
            id. It was made anew, or truncated.
        """
        partitions = self._dispatcher.partitions
        # Taken before the ends are asked for: what arrives meanwhile may lie behind them.
        read = {one: one.next_offset for one in partitions.values() if not one.suspended}
        if not read:
            return set()
        try:
            ends = await self._source.log_ends([one.number for one in read])
        except SourceError as error:
            if not self._silent:
                logger.warning("Kafka does not answer, nothing is fetched until it does: %s", error)
            self._silent = True
            return set()
        if self._silent:
            logger.warning("Kafka answers again")
        self._silent = False
        short: dict[PartitionQueue, int] = {}
        for partition, next_offset in read.items():
            end = ends.get(partition.number)
            if end is None or partitions.get(partition.number) is not partition:
                continue
            partition.log_end = end
            if end < next_offset:
                short[partition] = self._short.get(partition, 0) + 1
        self._short = {one: readings for one, readings in short.items() if readings < _READINGS}
        return {one.number for one in short.keys() - self._short.keys()} | await self._made_anew()

    async def _made_anew(self) -> set[int]:
        """Partitions of a topic that was deleted and made anew so fast that nobody missed it."""
        self._looks += 1
        if self._looks % _ID_EVERY:
            return set()
        try:
            topic_id = await self._source.topic_id()
        except SourceError:
            return set()  # the ends of the logs are asked for more often, and say so
        ids = {number: one.ledger.topic_id for number, one in self._dispatcher.partitions.items() if not one.suspended}
        return {number for number, read in ids.items() if topic_id and read and topic_id != read}
