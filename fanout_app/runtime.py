"""The one place where the core meets the world: it tells the core the time and does what the core decides.

Rules for this file: everything runs in one event loop, and no decision of the core is awaited between being made and
being recorded. Everything outside is a Protocol here and an adapter elsewhere. No body of a message is logged.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Iterable
from time import monotonic
from typing import Any, Protocol

from fanout_app import overview
from fanout_app.alarm import Alarm
from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.message import Message
from fanout_app.core.requests import Empty, Entry, LeaseRef, Pull, Settle, SettleOutcome, Status
from fanout_app.core.settling import Case, Settling, case_of
from fanout_app.core.start import Start
from fanout_app.group_commit import GroupCommit, LedgerStore, Ownership
from fanout_app.options import Options

logger = logging.getLogger("fanout.runtime")

#: Seconds a request waits for its partition to come back from a rebalance, and for a row to be written (`docs/api.md`).
MOVING = 5.0
#: Seconds after which an intake with messages and waiting clients that hands nothing out counts as standing still.
STANDSTILL = 30.0
_OWNERSHIP_RECHECK = 0.1
_START_WRITE_FOR = 15.0
_LAST_ROWS_FOR = 2.0
_DROPPED_AFTER = 0.5


class Fetch(Protocol):
    """One fetch of one partition, see `fanout_app.kafka.transport.FetchedBatch`."""

    partition: int
    asked: int
    after: int
    messages: list[Message]


class Source(Protocol):
    """The topic. Nothing here is called while the partition is suspended."""

    async def seek(self, partition: int, offset: int) -> None:
        """Read on from this offset. Raises SourceError if Kafka does not answer."""

    async def log_start(self, partition: int) -> int:
        """The lowest offset the log has. Raises SourceError if Kafka does not answer."""

    async def log_ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Where the logs end now. Raises SourceError if Kafka does not answer."""

    def wake_up(self) -> None:
        """What is wanted has changed: do not finish the wait that is under way."""

    def member(self) -> str:
        """Our name in the consumer group; another one means that we were out of it for a while."""


class Starts(Protocol):
    """Where partitions start, see `fanout_app.kafka.start_offsets`."""

    async def find(self, partitions: set[int]) -> dict[int, Start]: ...


class Terms(Ownership, Protocol):
    """Ownership that also has to be told when a rebalance is over."""

    def rebalance_ended(self, term: int) -> bool: ...


class DeadLetterSink(Protocol):
    """Where rejected messages go, see `fanout_app.kafka.dead_letters`."""

    async def put(self, partition: int, message: Message, *, delivery_count: int, reason: str, client: str) -> None: ...


class SourceError(Exception):
    """Kafka did not answer; the same may go well a moment later."""


class Runtime:
    """One worker."""

    def __init__(self, options: Options, *, worker: str, limits: Limits) -> None:
        self.options = options
        self.id = options.id
        self.topic = options.topic
        self.worker = worker
        self.dispatcher = Dispatcher(limits, new_batch=lambda: secrets.randbits(64), jitter=random.random)
        self.ready = False
        self.stopping = False
        self._source: Source
        self._starts: Starts
        self._terms: Terms
        self._dead_letters: DeadLetterSink
        self.commit: GroupCommit
        self._futures: dict[int, asyncio.Future[Answer | None]] = {}
        self._alarm = Alarm(self._on_time)
        self._starved = False
        self._ours = True
        self._member = ""
        self._generation = 0
        self._moved: asyncio.Event
        self._ahead: dict[int, tuple[tuple[int, int], float]] = {}
        self._idle_since = 0.0

    def connect(
        self, *, source: Source, starts: Starts, terms: Terms, store: LedgerStore, dead_letters: DeadLetterSink
    ) -> None:
        """Join the adapters. Called once, in the loop that everything runs in."""
        self._source = source
        self._starts = starts
        self._terms = terms
        self._dead_letters = dead_letters
        self.commit = GroupCommit(self.dispatcher, store, terms)
        self._moved = asyncio.Event()

    # Intake ----------------------------------------------------------------------------------------------------------

    def wants(self, partition: int) -> bool:
        """Whether to fetch from this partition now."""
        wanted = self.dispatcher.wants(partition, monotonic())
        if not wanted:
            self._starved = True
        return wanted

    async def take(self, fetch: Fetch) -> None:
        """A fetch has arrived. Does not raise: the agent that calls this must not end."""
        if self.dispatcher.offer(fetch.partition, fetch.asked, fetch.after, fetch.messages):
            self._ahead.pop(fetch.partition, None)
            self._serve()
            if len(fetch.messages) != fetch.after - fetch.asked:
                self.commit.kick_quietly()
        else:
            await self._read_again(fetch.partition)

    async def _read_again(self, number: int) -> None:
        """A fetch did not follow the one before: something was dropped on the way, or the log has lost its start."""
        partition = self.dispatcher.partitions.get(number)
        if partition is None or partition.suspended:
            return
        try:
            self._log_starts_at(number, await self._source.log_start(number))
            if self.dispatcher.partitions.get(number) is partition:
                await self._source.seek(number, partition.next_offset)
        except SourceError as error:
            logger.warning("partition %d: could not read again from %d: %s", number, partition.next_offset, error)

    def _log_starts_at(self, number: int, offset: int) -> None:
        lost = self.dispatcher.log_starts_at(number, offset)
        if lost:
            logger.error(
                "partition %d: %d messages below offset %d were deleted by retention before anyone settled them",
                number, lost, offset,
            )  # fmt: skip
            self.commit.kick()

    def position(self, number: int, position: int) -> int | None:
        """Where the consumer stands after a poll without news; the offset to seek to if fetches were dropped.

        What is ahead of the intake's next offset may still be under way to it, so it has to stay so for a while.
        """
        partition = self.dispatcher.partitions.get(number)
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

    async def watch_log(self) -> None:
        """Look where the logs end, for what is still waiting in Kafka. Called every few seconds."""
        numbers = [number for number, partition in self.dispatcher.partitions.items() if not partition.suspended]
        if not numbers:
            return
        try:
            ends = await self._source.log_ends(numbers)
        except SourceError as error:
            logger.debug("the ends of the logs are not known at the moment: %s", error)
            return
        for number, end in ends.items():
            partition = self.dispatcher.partitions.get(number)
            if partition is not None:
                partition.log_end = end

    # Rebalances ------------------------------------------------------------------------------------------------------

    def suspend(self) -> None:
        """A rebalance has begun: nothing is handed out, settles wait, everything stays in memory."""
        self.dispatcher.suspend()
        self._moved.clear()

    async def give_up(self) -> None:
        """The partitions may go to others in this rebalance: leave them what they need to know."""
        self.suspend()
        await self.commit.write_last(_LAST_ROWS_FOR)

    def assigned(self, numbers: set[int], generation: int) -> None:
        """An assignment was made, and may be followed by another one before `start` is called for it.

        What is kept in memory is kept only by who was a member in every generation since: otherwise somebody else may
        have had the partition meanwhile, and settled what we would hand out again.
        """
        member = self._source.member()
        stayed = member == self._member and generation == self._generation + 1
        self._member, self._generation = member, generation
        kept = numbers & self.dispatcher.partitions.keys() if stayed else set()
        for number in self.dispatcher.partitions.keys() - kept:
            self.commit.drop(number)
            self.dispatcher.drop(number, monotonic())

    async def start(self, numbers: set[int]) -> dict[int, int]:
        """Recovery is over, and these partitions are ours. Returns the offsets to read them from.

        Raises:
            KafkaError, RowError: the start cannot be found out; the worker must end rather than guess.
        """
        term = self._terms.term()
        starts = await self._starts.find(numbers - self.dispatcher.partitions.keys())
        for number, start in starts.items():
            await self._begin(number, start, term)
        if self._terms.rebalance_ended(term):
            for number in self.dispatcher.partitions:
                self.dispatcher.resume(number)
            self._moved.set()
            self.ready = not self.stopping
            logger.info("partitions of this worker: %s", sorted(self.dispatcher.partitions) or "none")
            self.commit.kick()
            self._serve()
        return {number: partition.next_offset for number, partition in self.dispatcher.partitions.items()}

    async def _begin(self, number: int, start: Start, term: int) -> None:
        if start.write:
            await self.commit.write_first(number, start.snapshot, _START_WRITE_FOR)
        if term != self._terms.term():
            return  # the next rebalance has begun already, and will start it anew
        self.dispatcher.assign(number, start.snapshot).suspended = True
        self.commit.assign(number)
        for warning in start.warnings:
            logger.warning("partition %d: %s", number, warning)
        for error in start.errors:
            logger.error("partition %d: %s", number, error)
        self.dispatcher.counters.lost_to_retention += start.lost
        logger.debug("partition %d: starting at %d, era %d", number, start.snapshot.floor, start.snapshot.era)

    @property
    def generation(self) -> int:
        """Generation of the consumer group that the partitions were assigned in."""
        return self._generation

    def committable(self) -> dict[int, int]:
        return self.commit.committable()

    def committed(self, offsets: dict[int, int]) -> None:
        for number, offset in offsets.items():
            partition = self.dispatcher.partitions.get(number)
            if partition is not None:
                partition.ledger.note_committed(offset)

    # Pulls -----------------------------------------------------------------------------------------------------------

    async def pull(self, pull: Pull, *, wait: float, anonymous: bool = False) -> Answer | Empty:
        """Wait up to ``wait`` seconds for messages. If cancelled, whatever was handed out is taken back."""
        dispatcher = self.dispatcher
        number = dispatcher.add_pull(monotonic(), pull, anonymous=anonymous)
        if len(self._futures) == 0:
            self._idle_since = monotonic()
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._futures[number] = future
        self._feed()
        self._serve()
        if not future.done() and (wait <= 0 or self.stopping):
            self._end_pull(number)
        handle = None
        if not future.done():
            handle = asyncio.get_running_loop().call_later(wait, self._end_pull, number)
        try:
            answer = await future
        except asyncio.CancelledError:
            self._end_pull(number)
            if future.done() and not future.cancelled() and (answer := future.result()) is not None:
                self.release(answer)
            raise
        finally:
            if handle is not None:
                handle.cancel()
        return answer if answer is not None else dispatcher.why_empty(pull)

    def _end_pull(self, number: int) -> None:
        future = self._futures.pop(number, None)
        self.dispatcher.cancel_pull(number, monotonic())
        if future is not None and not future.done():
            future.set_result(None)

    def release(self, answer: Answer) -> None:
        """The answer could not be written: its messages go to the next client at once, uncounted."""
        if answer.batch in self.dispatcher.answers:
            self.dispatcher.release(answer, monotonic())
            self._serve()

    def _feed(self) -> None:
        """Something may be wanted now that was not before."""
        if self._starved:
            self._starved = False
            self._source.wake_up()

    def _serve(self) -> None:
        """Hand out what there is to who waits, and set the timer for what comes next."""
        now = monotonic()
        if self._futures:
            if not self._still_ours(now):
                self._alarm.at(now + _OWNERSHIP_RECHECK)
                return
            for number, answer in self.dispatcher.serve(now):
                self._idle_since = now
                future = self._futures.pop(number)
                if future.done():  # its task was cancelled in this very turn of the loop
                    self.dispatcher.release(answer, now)
                else:
                    future.set_result(answer)
        self._alarm.at(self.dispatcher.next_deadline())

    def _still_ours(self, now: float) -> bool:
        """Whether anything may be handed out: somebody else may own these partitions by now, and we not know it."""
        ours = self._terms.holds(self._terms.term(), now)
        if ours != self._ours and self._moved.is_set():
            self._ours = ours
            if ours:
                logger.warning("the group's coordinator answers again: messages are handed out again")
            else:
                logger.warning("no recent answer from the group's coordinator: nothing is handed out until it comes")
        return ours

    def _on_time(self) -> None:
        expired = self.dispatcher.counters.expired
        self.dispatcher.expire(monotonic())
        if self.dispatcher.counters.expired != expired:
            self.commit.kick_quietly()
            self._feed()
        self._serve()

    # Settles ---------------------------------------------------------------------------------------------------------

    async def settle(self, settle: Settle) -> SettleOutcome:
        """Work a settle body off; answered when the changelog has it, unless the body says not to wait for that."""
        await self._in_place(settle)
        settling = Settling(self.dispatcher, monotonic())
        outcome = settling.run(settle)
        for entry, run in settling.rejects:
            await self._reject(entry, run, settling)
        if outcome.nacked or outcome.extended:
            self.commit.kick_quietly()
        self._feed()
        self._serve()
        if not settle.durable:
            self.commit.kick()
            return outcome
        for number, pending in settling.pending.items():
            if not await self.commit.written(number, pending.version, MOVING):
                outcome.acked -= pending.acked
                outcome.results = [
                    (token, status) for token, status in outcome.results if token not in set(pending.tokens)
                ]
                outcome.results.extend((token, Status.RETRY) for token in pending.tokens)
        return outcome

    async def _in_place(self, settle: Settle) -> None:
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
                async with asyncio.timeout(MOVING):
                    await self._moved.wait()
            except TimeoutError:
                logger.debug("partitions are still moving, settles are answered with retry")

    async def _reject(self, entry: Entry, run: LeaseRun, settling: Settling) -> None:
        """Put a rejected message where nobody is handed it any more, and only then settle it."""
        message = run.messages[0]
        try:
            async with asyncio.timeout(MOVING):
                await self._dead_letters.put(
                    run.partition,
                    message,
                    delivery_count=run.delivery_count,
                    reason=entry.reason or "rejected",
                    client=run.client,
                )
        except (SourceError, TimeoutError) as error:
            logger.warning("partition %d/%d: not rejected, it stays with its client: %s",
                           run.partition, message.offset, error)  # fmt: skip
            settling.outcome.results.append((entry.token, Status.RETRY))
        else:
            settling.rejected(entry, run, message.offset)

    def lease_state(self, ref: LeaseRef) -> tuple[Case, LeaseRun | None]:
        """Where the message of a lease stands, and the lease it is under now."""
        return case_of(self.dispatcher, ref, monotonic())

    # Looking in ------------------------------------------------------------------------------------------------------

    @staticmethod
    def now() -> float:
        return monotonic()

    @staticmethod
    def unix_ms(at: float) -> int:
        """Wall clock of a moment of the monotonic clock, for reading only."""
        return int((time.time() + at - monotonic()) * 1000)

    def waiting(self) -> int:
        """Messages not handed out yet: held here, or still in Kafka."""
        return overview.waiting(self.dispatcher)

    def healthy(self) -> str | None:
        """None, or why this worker should be restarted."""
        stuck_for = monotonic() - self._idle_since
        if (
            stuck_for > STANDSTILL
            and self._terms.holds(self._terms.term(), monotonic())
            and any(self._could_be_served(pull) for pull in self._futures)
            and overview.could_serve(self.dispatcher, monotonic())
        ):
            return f"messages and free clients, and nothing was handed out for {stuck_for:.0f} s"
        return None

    def _could_be_served(self, pull: int) -> bool:
        waiting = self.dispatcher.waiting_pull(pull)
        return waiting is not None and self.dispatcher.why_empty(waiting) is Empty.NO_MESSAGE

    def status(self) -> dict[str, Any]:
        """The body of /v1/status."""
        degraded = []
        if not self._moved.is_set():
            degraded.append("rebalancing")
        elif not self._terms.holds(self._terms.term(), monotonic()):
            degraded.append("no recent answer from the group's coordinator")
        if self.dispatcher.bytes_held() >= self.dispatcher.limits.buffer_bytes:
            degraded.append("buffer-full")
        return {
            "id": self.id,
            "topic": self.topic,
            "worker": self.worker,
            "generation": self._generation,
            "ready": self.ready,
            "stopping": self.stopping,
            **overview.totals(self.dispatcher),
            "waiting_pulls": len(self._futures),
            "degraded": degraded,
        }

    def partitions_status(self) -> list[dict[str, Any]]:
        """The rows of /v1/partitions."""
        return overview.partitions(self.dispatcher, self.worker, time.time())

    # The end ---------------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """SIGTERM: not ready at once, served for a while, then waiting pulls go home and the ledgers are written."""
        self.stopping = True
        self.ready = False
        await asyncio.sleep(self.options.drain)
        for number in list(self._futures):
            self._end_pull(number)
        if not await self.commit.write_all(MOVING):
            logger.error("stopping although not every ledger could be written: what it would have held may come again")

    def close(self) -> None:
        """The group is about to be left: from here on nothing is handed out, and settles are answered with retry."""
        self.suspend()
        self._moved.set()

    async def stop(self) -> None:
        self._alarm.cancel()
        await self.commit.stop()
