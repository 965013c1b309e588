"""Faults to build into a worker. Runs in the worker's process, and is the only part of the tests that knows its code.

Faust drops fetched records in several places. Most faults here make happen what leads to it, to every few fetches, and
leave the dropping to the code that does it. A fetch is reported as hit when the fault is done to it, and as arrived
when it reaches the runtime all the same: what is hit and never arrives was dropped.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from aiokafka import codec
from faust.types import TP, ConsumerMessage

from fanout_app.core.leadership import Leadership
from fanout_app.core.requests import LeaseRef, Settle, SettleOutcome
from fanout_app.kafka.consumer_driver import ConsumerDriver
from fanout_app.kafka.fetches import FetchedBatch, Poll
from fanout_app.kafka.transport import BatchConsumer
from fanout_app.runtime import Runtime
from support.faults_settings import SETTINGS_FAULTS
from support.sabotage import SABOTAGES

#: Records in a fetch are few, so that there are many fetches to do something to.
_FETCH_BYTES = 700
_ONE_IN = 3
_FLOW_STOPS_FOR = 0.03
_DROPPED = 0.3
_OUTLIVES = 10.0
_SEED = 20150727


class Report:
    """One line of JSON for everything that happened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: Held, so that no later fetch can have the id of one of them.
        self._hit: dict[int, FetchedBatch] = {}

    def hit(self, fetches: Iterable[FetchedBatch]) -> None:
        for fetch in fetches:
            self._hit[id(fetch)] = fetch
            self._write("hit", fetch)

    def arrived(self, fetch: FetchedBatch) -> None:
        if id(fetch) in self._hit:
            self._write("arrived", fetch)

    def _write(self, event: str, fetch: FetchedBatch) -> None:
        line = {
            "event": event,
            "fetch": id(fetch),
            "partition": fetch.partition,
            "asked": fetch.asked,
            "after": fetch.after,
            "messages": len(fetch.messages),
        }
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


AfterFetch = Callable[[ConsumerDriver, Poll], Awaitable[Poll]]
HandOver = Callable[[BatchConsumer, Any, Callable[[Any], Awaitable[None]]], Awaitable[None]]


class _Some:
    """True for one in a few, beginning with the second: the first must get through, or nothing ever begins."""

    def __init__(self) -> None:
        self._asked = 0

    def __call__(self) -> bool:
        self._asked += 1
        return self._asked % _ONE_IN == 2


def _watch(report: Report) -> None:
    """What every fault needs: small fetches, and word of those that reach the runtime."""
    create = ConsumerDriver._create_worker_consumer
    take = Runtime.take

    def with_small_fetches(self: ConsumerDriver, transport: Any) -> Any:
        consumer = create(self, transport)
        consumer._max_partition_fetch_bytes = _FETCH_BYTES
        return consumer

    async def take_and_tell(self: Runtime, fetch: Any) -> None:
        report.arrived(fetch)
        await take(self, fetch)

    ConsumerDriver._create_worker_consumer = with_small_fetches  # type: ignore[method-assign]
    Runtime.take = take_and_tell  # type: ignore[method-assign]


def _after_fetch(report: Report, then: AfterFetch) -> None:
    """Do something between a fetch and its way through Faust."""
    _watch(report)
    fetch = ConsumerDriver.fetch

    async def fetch_then(self: ConsumerDriver, *args: Any) -> Poll:
        return await then(self, await fetch(self, *args))

    ConsumerDriver.fetch = fetch_then  # type: ignore[method-assign, assignment]


def _at_hand_over(report: Report, instead: HandOver) -> None:
    """Do something where Faust puts a fetch into the agent's queue."""
    _watch(report)
    init = BatchConsumer.__init__

    def init_then(self: BatchConsumer, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        stock = self.callback

        async def callback(message: Any) -> None:
            if message.topic == self._intake.topic:
                await instead(self, message, stock)
            else:
                await stock(message)

        self.callback = callback

    BatchConsumer.__init__ = init_then  # type: ignore[method-assign]


def _stop_flow_for_a_moment(consumer: BatchConsumer) -> None:
    consumer.stop_flow()
    asyncio.get_running_loop().call_later(_FLOW_STOPS_FOR, consumer.resume_flow)


def flow_stopped(report: Report, _: str) -> None:
    """The flow stops between a fetch and its hand-over."""
    some = _Some()

    async def then(driver: ConsumerDriver, poll: Poll) -> Poll:
        if poll.fetches and some():
            report.hit(poll.fetches)
            _stop_flow_for_a_moment(driver.consumer)
        return poll

    _after_fetch(report, then)


def generation_changed(report: Report, _: str) -> None:
    """The group's generation changes while a fetch is under way to `getmany`."""
    some = _Some()

    async def then(driver: ConsumerDriver, poll: Poll) -> Poll:
        if poll.fetches and some():
            report.hit(poll.fetches)
            driver.app.consumer_generation_id += 1
        return poll

    _after_fetch(report, then)


def dropped_at_random(report: Report, _: str) -> None:
    """Fetches just vanish."""
    dice = random.Random(_SEED)

    async def then(driver: ConsumerDriver, poll: Poll) -> Poll:
        dropped = [fetch for fetch in poll.fetches if dice.random() < _DROPPED]
        report.hit(dropped)
        return poll._replace(fetches=[fetch for fetch in poll.fetches if fetch not in dropped])

    _after_fetch(report, then)


def last_dropped(report: Report, ends: str) -> None:
    """The fetches that reach these ends, ``57,60`` of partitions 0 and 1, vanish the first two times."""
    left = {(partition, int(end)): 2 for partition, end in enumerate(ends.split(","))}

    async def then(driver: ConsumerDriver, poll: Poll) -> Poll:
        kept = []
        for fetch in poll.fetches:
            if left.get((fetch.partition, fetch.after)):
                left[fetch.partition, fetch.after] -= 1
                report.hit([fetch])
            else:
                kept.append(fetch)
        return poll._replace(fetches=kept)

    _after_fetch(report, then)


def held_up(report: Report, seconds: str) -> None:
    """Every fetch takes so long to come back that a rebalance finds one under way."""

    async def then(driver: ConsumerDriver, poll: Poll) -> Poll:
        generation = driver.app.consumer_generation_id
        if poll.fetches:
            await asyncio.sleep(float(seconds))
            if not driver.consumer.flow_active or driver.app.consumer_generation_id != generation:
                report.hit(poll.fetches)
        return poll

    _after_fetch(report, then)


def polls_outlive_rebalances(report: Report, _: str) -> None:
    """A poll of the changelog that has begun when a rebalance begins goes on until the flow does, and beyond."""
    _watch(report)
    stock = ConsumerDriver._wait_for_records

    async def wait(self: ConsumerDriver, fetcher: Any, timeout: float) -> bool:
        app, generation = self.app, self.app.consumer_generation_id
        began_before = not app.rebalancing
        came = await stock(self, fetcher, timeout)
        while began_before and app.rebalancing:
            if self.consumer.flow_active and app.consumer_generation_id != generation:
                return True
            await asyncio.sleep(0.001)
        return came

    ConsumerDriver._wait_for_records = wait  # type: ignore[method-assign]
    fetch = ConsumerDriver.fetch

    async def fetch_for_long(self: ConsumerDriver, wanted: set[Any], timeout: float, *args: Any) -> Poll:
        of_the_changelog = any(tp.topic != self.consumer._intake.topic for tp in wanted)
        return await fetch(self, wanted, _OUTLIVES if of_the_changelog else timeout, *args)

    ConsumerDriver.fetch = fetch_for_long  # type: ignore[method-assign, assignment]


def hand_over_cancelled(report: Report, _: str) -> None:
    """The agent's queue is full, and the flow stops while the fetch waits for room in it."""
    some = _Some()

    async def instead(consumer: BatchConsumer, message: Any, stock: Callable[[Any], Awaitable[None]]) -> None:
        if some():
            report.hit(message.value.fetches)
            _stop_flow_for_a_moment(consumer)
            await asyncio.Event().wait()
        await stock(message)

    _at_hand_over(report, instead)


def queues_cleared(report: Report, _: str) -> None:
    """What a rebalance does to the agents' queues, while a fetch is in one."""
    some = _Some()

    async def instead(consumer: BatchConsumer, message: Any, stock: Callable[[Any], Awaitable[None]]) -> None:
        await stock(message)
        if some():
            report.hit(message.value.fetches)
            consumer.app.flow_control.clear()

    _at_hand_over(report, instead)


def skipped_by_the_stream(report: Report, _: str) -> None:
    """The generation changes while a fetch is in the agent's queue."""
    some = _Some()

    async def instead(consumer: BatchConsumer, message: Any, stock: Callable[[Any], Awaitable[None]]) -> None:
        await stock(message)
        if some():
            report.hit(message.value.fetches)
            consumer.app.consumer_generation_id += 1

    _at_hand_over(report, instead)


def stock_commits(report: Report, _: str) -> None:
    """Faust's own tracker decides what is committed, told of each ack of a client as Faust tells it of an event's."""
    for name in ("_new_offset", "_filter_tps_with_pending_acks", "_should_commit", "_add_gap"):
        delattr(BatchConsumer, name)
    stock = Runtime.settle
    consumers: list[BatchConsumer] = []
    init = BatchConsumer.__init__

    def init_then(self: BatchConsumer, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        # Of its own floors it asks no era.
        self._eras = defaultdict(int)
        consumers.append(self)

    async def settle_and_ack(self: Runtime, settle: Settle) -> SettleOutcome:
        outcome = await stock(self, settle)
        for entry in settle.ack:
            if isinstance(entry.ref, LeaseRef):
                consumers[0].ack(_event_message(self.topic, entry.ref))
        return outcome

    BatchConsumer.__init__ = init_then  # type: ignore[method-assign]
    Runtime.settle = settle_and_ack  # type: ignore[method-assign]


def _event_message(topic: str, ref: LeaseRef) -> Any:
    tp = TP(topic, ref.partition)
    return ConsumerMessage(topic, ref.partition, ref.offset, 0.0, 0, (), None, None, None, 0, 0, tp)


def idle_members_leave(report: Report, seconds: str) -> None:
    """Stock Faust fetches nothing where it has no partition to fetch; aiokafka takes a member for dead after a while.

    ``seconds``: that while, see `polls_are_due`.
    """
    polls_are_due(report, seconds)
    getmany = BatchConsumer.getmany

    async def getmany_or_sleep(self: BatchConsumer, timeout: float) -> AsyncIterator[Any]:
        if not self._get_active_partitions():
            await self.sleep(1)
            return
        async for one in getmany(self, timeout):
            yield one

    BatchConsumer.getmany = getmany_or_sleep  # type: ignore[method-assign]


def polls_are_due(report: Report, seconds: str) -> None:
    """aiokafka takes a member for dead that has fetched nothing for so many seconds, which are 30 days as shipped."""
    create = ConsumerDriver._create_worker_consumer

    def with_limit(self: ConsumerDriver, transport: Any) -> Any:
        consumer = create(self, transport)
        consumer._max_poll_interval_ms = int(float(seconds) * 1000)
        return consumer

    ConsumerDriver._create_worker_consumer = with_limit  # type: ignore[method-assign]


def no_codecs(report: Report, _: str) -> None:
    """The library that undoes all compressions but gzip is not there."""
    vars(codec)["cramjam"] = None


def intake_breaks(report: Report, _: str) -> None:
    """A fault of ours in the agent's body."""

    async def take(self: Runtime, fetch: Any) -> None:
        raise RuntimeError("the intake broke")

    Runtime.take = take  # type: ignore[method-assign]


def task_breaks(report: Report, _: str) -> None:
    """A fault of ours in a background task."""

    async def watch_log(self: Runtime) -> None:
        raise RuntimeError("the task broke")

    Runtime.watch_log = watch_log  # type: ignore[method-assign]


def believes_its_lock(report: Report, _: str) -> None:
    """A leader as many are written: once it has got the lock it leads until somebody tells it otherwise."""

    def may_act(self: Leadership, now: float, acknowledged_at: float) -> bool:
        return self.epoch is not None

    Leadership.may_act = may_act  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[Report, str], None]] = {
    "flow-stopped": flow_stopped,
    "generation-changed": generation_changed,
    "polls-outlive-rebalances": polls_outlive_rebalances,
    "hand-over-cancelled": hand_over_cancelled,
    "queues-cleared": queues_cleared,
    "skipped-by-the-stream": skipped_by_the_stream,
    "dropped-at-random": dropped_at_random,
    "last-dropped": last_dropped,
    "held-up": held_up,
    "no-codecs": no_codecs,
    "stock-commits": stock_commits,
    "polls-are-due": polls_are_due,
    "idle-members-leave": idle_members_leave,
    "intake-breaks": intake_breaks,
    "task-breaks": task_breaks,
    "believes-its-lock": believes_its_lock,
    **SETTINGS_FAULTS,
    **SABOTAGES,
}
