"""Faust's transport with fetches instead of single records, and with positions that are ours alone.

Stock Faust makes a message of every record (two asyncio tasks each), commits what its own ack list says and seeks back
to the committed offset whenever its flow was stopped. Here one Faust message carries one fetch of one partition of the
source topic, with the position that was *asked* and the position *after* it; what is committed and where reading goes
on is asked of the intake. All other topics (the changelog) go the stock way.

Rules for this file: records may be lost between here and the agent (a stopped flow, a changed generation, a cleared
queue), so nothing here may conclude from having passed something on that it arrived. Every seek of the source topic is
made in the consumer's thread, where the positions are read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from time import monotonic
from typing import Any, NamedTuple, Protocol

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from fanout_app.core.message import Message

logger = logging.getLogger("fanout.kafka.transport")


class FetchedBatch:
    """One fetch of one partition: the records in [asked, after), which may be none."""

    __slots__ = ("after", "asked", "messages", "partition")

    def __init__(self, partition: int, asked: int, after: int, messages: list[Message]) -> None:
        self.partition = partition
        self.asked = asked
        self.after = after
        self.messages = messages

    def __repr__(self) -> str:
        return f"<FetchedBatch p{self.partition} [{self.asked}, {self.after}) {len(self.messages)} messages>"


class Poll(NamedTuple):
    """What one poll brought: fetches of the source topic, records of others, the source's positions."""

    fetches: list[FetchedBatch]
    others: Mapping[TP, list[Any]]
    positions: dict[int, int]


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

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # Fetching --------------------------------------------------------------------------------------------------------

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
        topic = self._intake.topic
        for fetch in fetches:
            tp = TP(topic, fetch.partition)
            yield tp, self._batch_message(tp, fetch)
        for tp, record in self.scheduler.iterate(others):
            tp = TP(tp.topic, tp.partition)
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            yield tp, self._to_message(tp, record)

    def _batch_message(self, tp: TP, fetch: FetchedBatch) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic, tp.partition, fetch.asked, 0.0, 0, (), None, fetch, None, 0, 0, tp,
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
        await self._thread.seek_source(offsets)
        # A poll that began during the recovery asks for the changelog only, and would go on doing so for a second.
        self._thread.wake_up()
        return offsets

    async def seek_source(self, partition: int, offset: int) -> None:
        await self._thread.seek_source({TP(self._intake.topic, partition): offset})

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
        return self._intake.committable().get(tp.partition)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return True  # what is not to be committed is not committable

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Holes are the ledger's business."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done = bool(await self._thread.commit(offsets))
        if done:
            self._intake.committed({tp.partition: offset for tp, offset in offsets.items()})
        return done

    async def commit_source(self, offsets: Mapping[int, int]) -> bool:
        """Commit offsets of the source topic at once, also backwards; False if that was not done."""
        tps = {TP(self._intake.topic, partition): offset for partition, offset in offsets.items()}
        return bool(await self._thread.commit(tps))

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's alarm about slow streams and commits knows nothing of leases; the worker's health check does."""


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the aiokafka consumer."""

    #: When the last request that proves our membership was sent (monotonic seconds): one that the coordinator answered
    #: without error, which REBALANCE_IN_PROGRESS is not although Faust and aiokafka count it as a success.
    confirmed_at = float("-inf")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._wake_up: asyncio.Event | None = None

    async def on_start(self) -> None:
        self._wake_up = asyncio.Event()
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        send = coordinator._send_req

        async def send_and_note(request: Any) -> Any:
            sent = monotonic()
            response = await send(request)
            if isinstance(request, (HeartbeatRequest, SyncGroupRequest)) and response.error_code == 0:
                self.confirmed_at = sent
            return response

        coordinator._send_req = send_and_note

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = self.app.isolation_level
        consumer._fetch_max_wait_ms = 500
        return consumer

    @property
    def member_id(self) -> str:
        return str(self._ensure_consumer()._coordinator.member_id)

    def wake_up(self) -> None:
        """What is wanted has changed: end the poll under way. May be called from any thread."""
        if self._wake_up is not None:
            self.thread_loop.call_soon_threadsafe(self._wake_up.set)

    # Called from the main loop ---------------------------------------------------------------------------------------

    async def fetch(self, wanted: set[TP], timeout: float, generation: int) -> Poll:
        return await self.call_thread(self._fetch, wanted, timeout, generation)  # type: ignore[no-any-return]

    async def seek_source(self, offsets: Mapping[TP, int]) -> None:
        await self.call_thread(self._seek_source, offsets)

    # Run in the thread -----------------------------------------------------------------------------------------------

    async def _fetch(self, wanted: set[TP], timeout: float, generation: int) -> Poll:
        fetches, others = await self._poll(wanted, timeout, generation)
        positions = self._source_positions(self._ensure_consumer()._fetcher)
        return Poll(fetches, others, {tp.partition: position for tp, position in positions.items()})

    async def _poll(
        self, wanted: set[TP], timeout: float, generation: int
    ) -> tuple[list[FetchedBatch], Mapping[TP, list[Any]]]:
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        deadline = monotonic() + timeout
        tps = {driver.ensure_aiokafka_TP(tp) for tp in wanted}
        with fetcher._subscriptions.fetch_context():
            while True:
                if consumer._closed or fetcher._closed:
                    raise driver.ConsumerStoppedError
                if not self.consumer.flow_active or self.app.consumer_generation_id != generation:
                    # A poll that outlives a rebalance: what it took would be dropped, and a row of the changelog that
                    # is dropped after the recovery has sought to it is waited for without end.
                    return [], {}
                if tps and not fetcher._subscriptions.reassignment_in_progress:
                    fetches, others = await self._take(fetcher, tps)
                    if fetches or others:
                        return fetches, others
                left = deadline - monotonic()
                if left <= 0 or not await self._wait_for_records(fetcher, left):
                    return [], {}

    async def _take(self, fetcher: Any, tps: set[Any]) -> tuple[list[FetchedBatch], Mapping[TP, list[Any]]]:
        """Drain what aiokafka has fetched. Without a timeout it does not suspend: the positions are exact."""
        topic = self.consumer._intake.topic
        before = self._source_positions(fetcher)
        records = dict(await fetcher.fetched_records(tps, timeout=0))
        after = self._source_positions(fetcher)
        fetches = []
        for tp, asked in before.items():
            messages = records.pop(tp, [])
            if after[tp] != asked or messages:
                fetches.append(FetchedBatch(tp.partition, asked, after[tp], messages))
        assert not any(tp.topic == topic for tp in records), "a record without a position"
        return fetches, records

    def _source_positions(self, fetcher: Any) -> dict[Any, int]:
        subscription = fetcher._subscriptions.subscription
        if subscription is None or subscription.assignment is None:
            return {}
        topic = self.consumer._intake.topic
        assignment = subscription.assignment
        states = {tp: assignment.state_value(tp) for tp in assignment.tps if tp.topic == topic}
        return {tp: state.position for tp, state in states.items() if state.has_valid_position}

    async def _wait_for_records(self, fetcher: Any, timeout: float) -> bool:
        """Wait for a fetch to come in; False if it is time to look at what is wanted again."""
        assert self._wake_up is not None
        waiter = fetcher._create_fetch_waiter()
        woken = asyncio.ensure_future(self._wake_up.wait())
        try:
            done, _ = await asyncio.wait((waiter, woken), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        if self._wake_up.is_set():
            self._wake_up.clear()
            return False
        if waiter in done:
            waiter.result()  # authorization errors come this way
            return True
        waiter.cancel()
        return False

    async def _seek_source(self, offsets: Mapping[TP, int]) -> None:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        for tp, offset in offsets.items():
            source = driver.ensure_aiokafka_TP(tp)
            if source in assigned:
                consumer.seek(source, offset)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit floors. A commit that fails is no harm: the ledger rows say the same, and the next one follows."""
        assigned = self.assignment()
        floors = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        if not floors:
            return False
        try:
            await self._ensure_consumer().commit(floors)
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            logger.warning("floors were not committed, will be with the next commit: %r", error)
            return False
        return True


class LedgerProducer(driver.Producer):
    """An idempotent producer: without it a request that timed out may be stored after its successor."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class BatchTransport(driver.Transport):
    """The aiokafka transport with our consumer and producer."""

    Consumer = BatchConsumer
    Producer = LedgerProducer


def partitions_of(tps: Iterable[TP], topic: str) -> set[int]:
    return {tp.partition for tp in tps if tp.topic == topic}
