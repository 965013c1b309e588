"""Faust's transport with fetches instead of single records, and with positions that are ours alone.

Stock Faust makes a message of every record (two asyncio tasks each), commits what its own ack list says and seeks back
to the committed offset whenever its flow was stopped. Here one Faust message carries what one poll brought of the
source topic: for each partition a fetch, with the position that was *asked* and the position *after* it; what is
committed and where reading goes on is asked of the intake. All other topics (the changelog) go the stock way.

Rules for this file: records may be lost between here and the agent (a stopped flow, a changed generation, a cleared
queue), so nothing here may conclude from having passed something on that it arrived. Every seek of the source topic is
made by the driver, where the positions are read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Protocol

from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from fanout_app.kafka.commit_mark import commit_mark
from fanout_app.kafka.consumer_driver import ConsumerDriver
from fanout_app.kafka.fetches import Brought, FetchedBatch
from fanout_app.kafka.ledger_producer import LedgerProducer

logger = logging.getLogger("fanout.kafka.transport")

#: Seconds that the next poll waits at most for what the last one brought to reach the intake.
_TAKEN_WITHIN = 0.5
#: Seconds that a poll waits for records at most; what is wanted is looked at again after each.
_POLL = 1.0


class Intake(Protocol):
    """Who takes the fetches. Called in the main loop; nothing here may block or raise unless it says so."""

    topic: str

    def wants(self, partition: int) -> bool:
        """Whether this partition is to be fetched from at the moment."""

    async def start(self, partitions: set[int]) -> dict[int, int]:
        """Recovery is over and these are ours: the offsets to read from. Called again after every rebalance.

        Raises:
            KafkaError: the start could not be found out or written down; the worker ends.
        """

    def position(self, partition: int, position: int) -> int | None:
        """Told where the consumer stood after a poll without news of it; the offset to seek to if that is wrong."""

    def committable(self) -> dict[int, int]:
        """Partition -> floor that the changelog has acknowledged, if it is not committed yet; nothing else ever is."""

    def era(self, partition: int) -> int:
        """The era of a floor that is committable at this moment."""

    def committed(self, offsets: dict[int, int]) -> None:
        """These were committed."""


class _ReadOffsets(dict[TP, "int | None"]):
    """Faust drops what lies below its read offset; for the source topic the chain of positions decides instead."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        if tp.topic != self._topic:
            super().__setitem__(tp, offset)


class BatchConsumer(driver.Consumer):
    """The consumer service, in the main loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._intake: Intake = self.app.intake
        self._read_offset = _ReadOffsets(self._intake.topic)
        #: What was handed over last and has not been taken yet.
        self._under_way: Brought | None = None
        #: The eras of the floors that are about to be committed: a seek may come while the commit is under way.
        self._eras: dict[TP, int] = {}

    def _new_consumer_thread(self) -> ConsumerDriver:
        return ConsumerDriver(self, loop=self.loop, beacon=self.beacon)

    # Fetching --------------------------------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        """Faust's fetcher runs this as long as it lives: polls, and hands over what they brought.

        Stock Faust makes five tasks for each message here and goes through the loop as often before the next poll may
        begin. At a low rate, with one message a poll, that was most of the time between two fetches.
        """
        try:
            while not (self.should_stop or fetcher.should_stop):
                async for tp, message in self.getmany(timeout=_POLL):
                    before = self._read_offset[tp]
                    if before is None or message.offset >= before:
                        if isinstance(message.value, Brought):
                            await self._hand_over(message, message.value)
                        else:
                            await self.wait_first(self.callback(message), self.suspend_flow.wait())
                        self._read_offset[tp] = message.offset
        except (*self.consumer_stopped_errors, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def _hand_over(self, message: ConsumerMessage, brought: Brought) -> None:
        """Wait until the intake has it: what is wanted next depends on that.

        That may never be. A flow that stops ends the wait, as it ends the one for room in the agent's queue.
        """
        handing = asyncio.ensure_future(self.callback(message))
        handing.add_done_callback(lambda done: brought.wait_no_more() if done.cancelled() or done.exception() else None)
        late = asyncio.get_running_loop().call_later(_TAKEN_WITHIN, brought.wait_no_more)
        self._under_way = brought
        try:
            await brought.taken
            if handing.done():
                handing.result()
        finally:
            handing.cancel()
            late.cancel()
            self._under_way = None

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        generation = self.app.consumer_generation_id
        topic = self._intake.topic
        wanted = {tp for tp in self._get_active_partitions() if tp.topic != topic or self._intake.wants(tp.partition)}
        fetches, others, positions = await self._thread.fetch(wanted, timeout, generation)
        for tp, message in self._messages(fetches, others):
            if self.should_stop or not self.flow_active or self.app.consumer_generation_id != generation:
                # What is dropped here is missed by the chain of positions and fetched again.
                return
            yield tp, message
        await self._check_positions(positions, {fetch.partition for fetch in fetches})

    def _messages(
        self, fetches: list[FetchedBatch], others: Mapping[TP, list[Any]]
    ) -> Iterator[tuple[TP, ConsumerMessage]]:
        if fetches:
            # Of whichever partition: Faust only has to find the agent's channel by it.
            tp = TP(self._intake.topic, fetches[0].partition)
            yield tp, self._batch_message(tp, fetches)
        for tp, record in self.scheduler.iterate({tp: latest(records) for tp, records in others.items()}):
            tp = TP(tp.topic, tp.partition)
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            yield tp, self._to_message(tp, record)

    def _batch_message(self, tp: TP, fetches: list[FetchedBatch]) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic, tp.partition, fetches[0].asked, 0.0, 0, (), None, Brought(fetches), None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    async def _check_positions(self, positions: Mapping[int, int], fetched: set[int]) -> None:
        """A last fetch that was dropped shows in no later one: only in a position ahead of what arrived."""
        for partition, position in positions.items():
            back = self._intake.position(partition, position) if partition not in fetched else None
            if back is not None:
                logger.info("partition %d: a fetch was dropped on the way, reading again from %d", partition, back)
                await self.seek_source(partition, back)

    # Seeking ---------------------------------------------------------------------------------------------------------

    async def perform_seek(self) -> None:
        """Faust calls this when a recovery is over and the flow is about to resume."""
        await self.seek_to_committed()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        topic = self._intake.topic
        assigned = {tp.partition for tp in self.assignment() if tp.topic == topic}
        positions = await self._intake.start(assigned)
        offsets = {TP(topic, partition): offset for partition, offset in positions.items()}
        await self._thread.start_source(offsets)
        return offsets

    def resume_flow(self) -> None:
        # A poll that has begun asks for what was wanted then, and would go on doing so for a second.
        super().resume_flow()
        self._thread.wake_up()

    def stop_flow(self) -> None:
        super().stop_flow()
        self._thread.wake_up()
        if self._under_way is not None:
            self._under_way.wait_no_more()

    async def seek_source(self, partition: int, offset: int) -> None:
        await self._thread.seek_source({TP(self._intake.topic, partition): offset})

    async def look_anew(self, topics: list[str]) -> Mapping[str, int]:
        """See `ConsumerDriver.look_anew`."""
        return await self._thread.look_anew(topics)  # type: ignore[no-any-return]

    async def members(self) -> int:
        """See `ConsumerDriver.members`."""
        return int(await self._thread.members())

    async def leave_group(self) -> None:
        """See `ConsumerDriver.leave_group`."""
        await self._thread.leave_group()

    def wake_up(self) -> None:
        """What is wanted has changed: end the poll under way."""
        self._thread.wake_up()

    @property
    def member_id(self) -> str:
        return self._thread.member_id  # type: ignore[no-any-return]

    @property
    def confirmed_at(self) -> float:
        return self._thread.confirmed_at  # type: ignore[no-any-return]

    # Committing ------------------------------------------------------------------------------------------------------

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter([TP(self._intake.topic, partition) for partition in self._intake.committable()])

    def _new_offset(self, tp: TP) -> int | None:
        floor = self._intake.committable().get(tp.partition)
        if floor is not None:
            self._eras[tp] = self._intake.era(tp.partition)
        return floor

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return True  # what is not to be committed is not committable

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Holes are the ledger's business."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done = await self._commit_marked({tp: (offset, self._eras[tp]) for tp, offset in offsets.items()})
        if done:
            self._intake.committed({tp.partition: offset for tp, offset in offsets.items()})
        return done

    async def commit_source(self, partition: int, floor: int, era: int) -> bool:
        """Commit this now, whatever is committable; whether the coordinator has taken it."""
        return await self._commit_marked({TP(self._intake.topic, partition): (floor, era)})

    async def commit_floors(self) -> None:
        """Commit what is committable, without waiting for the time."""
        floors = self._intake.committable()
        topic = self._intake.topic
        if await self._commit_marked({TP(topic, one): (floor, self._intake.era(one)) for one, floor in floors.items()}):
            self._intake.committed(floors)

    async def _commit_marked(self, floors: Mapping[TP, tuple[int, int]]) -> bool:
        marked = {tp: OffsetAndMetadata(floor, commit_mark(era)) for tp, (floor, era) in floors.items()}
        try:
            return bool(await self._thread.commit(marked))
        except driver.ConsumerStoppedError:
            return False

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's alarm about slow streams and commits knows nothing of leases; the worker's health check does."""


class BatchTransport(driver.Transport):
    """The aiokafka transport with our consumer and producer."""

    Consumer = BatchConsumer
    Producer = LedgerProducer


def partitions_of(tps: Iterable[TP], topic: str) -> set[int]:
    return {tp.partition for tp in tps if tp.topic == topic}


def latest(records: Iterable[Any]) -> list[Any]:
    """The last record of each key, in the order of the log: what compaction will leave of them one day.

    A changelog's end is not compacted yet, and Faust takes 0.1 ms for each record of it.
    """
    by_key = {record.key: record for record in records}
    return sorted(by_key.values(), key=lambda record: record.offset)
