"""What drives the aiokafka consumer: its polls, positions, seeks and commits. Runs in the main loop (decision 0023).

Rules for this file: positions are read around a fetch without suspending in between, and what a fetch could not read
is told and waits, it does not end the poll of the other partitions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, for_code
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from fanout_app.kafka.fetches import FetchedBatch, Poll
from fanout_app.kafka.growth import look_anew
from fanout_app.kafka.records import CarefulRecords, parse_carefully
from fanout_app.kafka.threadless import Threadless

logger = logging.getLogger("fanout.kafka.consumer_driver")

#: Seconds between two tries to read what a broker gave damaged.
_UNREADABLE_PAUSE = 10.0
#: Records that are parsed in a row, 2 to 3 us each, while everything else waits.
_MOST_RECORDS = 2_000
#: Seconds that leaving the group takes at most if no rebalance is under way.
_LEAVES_BY_ITSELF = 0.5


class ConsumerDriver(Threadless, driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, in the main loop."""

    #: When the last request that proves our membership was sent (monotonic seconds): one that the coordinator answered
    #: without error, which REBALANCE_IN_PROGRESS is not although Faust and aiokafka count it as a success.
    confirmed_at = float("-inf")

    def __post_init__(self) -> None:
        super().__post_init__()
        #: Somebody wants the poll under way to end, or its time is over.
        self._woken = False
        #: What the poll waits for; aiokafka ends it when a fetch has come in.
        self._waiter: asyncio.Future[None] | None = None
        #: What could not be read, and when to try again (monotonic seconds).
        self._unreadable: dict[Any, float] = {}

    async def on_start(self) -> None:
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
        parse_carefully()
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = self.app.isolation_level
        consumer._fetch_max_wait_ms = 500
        return consumer

    @property
    def member_id(self) -> str:
        return str(self._ensure_consumer()._coordinator.member_id)

    def wake_up(self) -> None:
        """End the poll under way, or the next before it waits: what is wanted has changed, or its time is over."""
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Called from outside ---------------------------------------------------------------------------------------------

    async def fetch(self, wanted: set[TP], timeout: float, generation: int) -> Poll:
        return await self.call_thread(self._fetch, wanted, timeout, generation)  # type: ignore[no-any-return]

    async def seek_source(self, offsets: Mapping[TP, int]) -> None:
        await self.call_thread(self._seek_source, offsets)

    async def look_anew(self, topics: list[str]) -> dict[str, int]:
        """Let the group's members see how many partitions these topics have: one of them acts on it for all.

        Raises KafkaError if no broker answers.
        """
        return await self.call_thread(look_anew, self._ensure_consumer()._client, topics)  # type: ignore[no-any-return]

    async def start_source(self, offsets: Mapping[TP, int]) -> None:
        """Recovery is over: from here on the source is read, and nothing else."""
        await self.call_thread(self._start_source, offsets)

    async def members(self) -> int:
        """How many members the group has. Raises KafkaError if its coordinator does not say."""
        return await self.call_thread(self._members)  # type: ignore[no-any-return]

    async def leave_group(self) -> None:
        """Be no member any more, and never again. Raises KafkaError if the coordinator does not answer."""
        await self.call_thread(self._leave_group)

    # And from here only ----------------------------------------------------------------------------------------------

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
                readable = self._readable(tps)
                if readable and not fetcher._subscriptions.reassignment_in_progress:
                    fetches, others = await self._take(fetcher, readable)
                    if fetches or others:
                        return fetches, others
                left = deadline - monotonic()
                if left <= 0 or not await self._wait_for_records(fetcher, left):
                    return [], {}

    async def _take(self, fetcher: Any, tps: set[Any]) -> tuple[list[FetchedBatch], Mapping[TP, list[Any]]]:
        """Take of what aiokafka has fetched. Without a timeout it does not suspend: the positions are exact."""
        topic = self.consumer._intake.topic
        before = self._source_positions(fetcher)
        parsed = {tp: fetched._partition_records for tp, fetched in fetcher._records.items()
                  if tp in tps and isinstance(fetched, FetchResult) and fetched.has_more()}  # fmt: skip
        records = dict(await fetcher.fetched_records(tps, timeout=0, max_records=_MOST_RECORDS))
        after = self._source_positions(fetcher)
        for tp, one in parsed.items():
            if one.bad_names or one.unreadable is not None:
                self._tell_odd(tp, one)
        fetches = []
        for tp, asked in before.items():
            messages = records.pop(tp, [])
            if after[tp] != asked or messages:
                fetches.append(FetchedBatch(tp.partition, asked, after[tp], messages))
        assert not any(tp.topic == topic for tp in records), "a record without a position"
        self._leave_alone(fetcher, [tp for tp in records if self._is_read(fetcher, tp)])
        return fetches, records

    def _is_read(self, fetcher: Any, tp: Any) -> bool:
        """Whether the recovery needs no more of this changelog.

        The high watermark of a fetch may lie below the end that was asked for when the recovery began: a new leader
        learns only from its followers how far they have come.
        """
        state = fetcher._subscriptions.subscription.assignment.state_value(tp)
        awaited = self.app.tables.recovery.active_highwaters.get(TP(tp.topic, tp.partition))
        ends = [state.highwater] if awaited is None else [state.highwater, awaited + 1]
        return state.highwater is not None and bool(state.position >= max(ends))

    @staticmethod
    def _leave_alone(fetcher: Any, tps: Iterable[Any]) -> None:
        """Ask no more of these until they are assigned again: a changelog whose end has been read.

        Behind it only our own rows come, and the question for them would keep the one connection to their broker busy
        for half a second, in which nothing that is sought to can be fetched.
        """
        for tp in tps:
            fetcher._subscriptions.subscription.assignment.state_value(tp).pause()

    def _readable(self, tps: set[Any]) -> set[Any]:
        if not self._unreadable:
            return tps
        now = monotonic()
        return {tp for tp in tps if self._unreadable.get(tp, now) <= now}

    def _tell_odd(self, tp: Any, parsed: CarefulRecords) -> None:
        if parsed.bad_names:
            logger.warning(
                "partition %d: header names that are not UTF-8 are shown with \\xNN in %d records, first at offset %d",
                tp.partition, len(parsed.bad_names), parsed.bad_names[0],
            )  # fmt: skip
            parsed.bad_names.clear()
        if parsed.unreadable is not None:
            if tp.topic != self.consumer._intake.topic:
                raise parsed.unreadable
            self._unreadable[tp] = monotonic() + _UNREADABLE_PAUSE
            logger.error(
                "partition %d: nothing can be read from offset %d on, its messages wait until that is mended or passed "
                "by a seek; next try in %g s: %r",
                tp.partition, parsed.next_fetch_offset, _UNREADABLE_PAUSE, parsed.unreadable,
            )  # fmt: skip

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
        if not self._woken:
            self._waiter = fetcher._create_fetch_waiter()
            timer = asyncio.get_running_loop().call_later(timeout, self.wake_up)
            try:
                await self._waiter  # authorization errors come this way
            finally:
                timer.cancel()
        woken, self._woken = self._woken, False
        return not woken

    async def _seek_source(self, offsets: Mapping[TP, int]) -> None:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        for tp, offset in offsets.items():
            source = driver.ensure_aiokafka_TP(tp)
            if source in assigned:
                consumer.seek(source, offset)

    async def _start_source(self, offsets: Mapping[TP, int]) -> None:
        await self._seek_source(offsets)
        consumer = self._ensure_consumer()
        topic = self.consumer._intake.topic
        self._leave_alone(consumer._fetcher, [tp for tp in consumer.assignment() if tp.topic != topic])

    async def _members(self) -> int:
        coordinator = self._ensure_consumer()._coordinator
        response = await coordinator._send_req(DescribeGroupsRequest([coordinator.group_id]))
        ((code, _group, _state, _kind, _protocol, members, *_),) = response.groups
        if code:
            raise for_code(code)
        return len(members)

    async def _leave_group(self) -> None:
        """By closing the coordinator alone: whatever else the consumer is asked for goes on."""
        coordinator = self._ensure_consumer()._coordinator
        closing = asyncio.ensure_future(coordinator.close())
        done, _ = await asyncio.wait({closing}, timeout=_LEAVES_BY_ITSELF)
        if not done:
            # It waits for the end of a rebalance, and that for others, or for us: without us it is over.
            await coordinator._maybe_leave_group()
        await closing

    def _rebalancing(self) -> bool:
        """The group is about to be joined anew, or is being joined.

        A commit that reaches the coordinator then is refused, and aiokafka makes of the refusal another rebalance, or a
        new member without the partitions of the old: with a commit in each it went on for ever.
        """
        coordinator = self._ensure_consumer()._coordinator
        subscriptions = coordinator._subscription
        return bool(subscriptions.reassignment_in_progress or coordinator.need_rejoin(subscriptions.subscription))

    async def _commit(self, offsets: Mapping[TP, OffsetAndMetadata]) -> bool:
        """Commit floors. A commit that fails is no harm: the ledger rows say the same, and the next one follows."""
        assigned = self.assignment()
        floors = {driver.ensure_aiokafka_TP(tp): floor for tp, floor in offsets.items() if tp in assigned}
        if not floors or self._rebalancing():
            return False
        try:
            await self._ensure_consumer().commit(floors)
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            logger.warning("floors were not committed, will be with the next commit: %r", error)
            return False
        return True
