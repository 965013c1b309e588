"""What Prometheus is told. Read from the queue when it asks, so a message costs nothing here."""

from __future__ import annotations

import asyncio
from collections import Counter as Counts
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import accumulate
from typing import Final, Protocol, TypeVar

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from fanout_app import metric_names as names
from fanout_app.cluster.exchange import Exchange
from fanout_app.core.ages import Ages
from fanout_app.core.canary import CanaryState
from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.partition import PartitionQueue
from fanout_app.core.roster import Roster
from fanout_app.core.windows import Windows
from fanout_app.metric import Kind, Metric
from fanout_app.overview_of_groups import Overview

_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

_Labels = TypeVar("_Labels", bound=tuple[str, ...])

_VERSION: Final = version("fanout-app")


class Leading(Protocol):
    """What is measured of leadership."""

    @property
    def epoch(self) -> int | None: ...
    @property
    def changes(self) -> int: ...
    def may_act(self) -> bool: ...


class Canary(Protocol):
    """What is measured of shares."""

    @property
    def state(self) -> CanaryState: ...


class Guarding(Protocol):
    """What is measured of guards."""

    held: dict[str, str]
    decided: Counts[str]


class Measured(Protocol):
    """What is measured."""

    #: How many the topic is known to have.
    partitions_of_topic: int

    @property
    def id(self) -> str: ...
    @property
    def topic(self) -> str: ...
    @property
    def worker(self) -> str: ...
    @property
    def roster(self) -> Roster: ...
    @property
    def ages(self) -> Ages: ...
    @property
    def dispatcher(self) -> Dispatcher: ...
    @property
    def overview(self) -> Overview: ...
    @property
    def exchange(self) -> Exchange: ...
    @property
    def leading(self) -> Leading: ...
    @property
    def canary(self) -> Canary: ...
    @property
    def guarding(self) -> Guarding: ...
    def owned(self) -> Collection[int]: ...
    def degraded(self) -> Collection[str]: ...
    def waiting(self) -> int: ...
    def now(self) -> float: ...
    def unix_ms(self, at: float) -> int: ...


class Metrics:
    """The metrics of one worker, in a registry of their own: Faust and libraries keep theirs in the global one."""

    def __init__(self, measured: Measured) -> None:
        # They would double the names, of which nobody needs to know when each began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._registry.register(_Queue(measured))
        # Open files, memory and CPU time, under the names that every exporter uses; where /proc is not, none of them.
        ProcessCollector(registry=self._registry)
        commit, refused = names.COMMIT_SECONDS, names.REFUSED
        self._commit = Histogram(commit.name, commit.help, registry=self._registry, buckets=commit.bounds)
        self._commit_failures = self._counter(names.COMMIT_FAILURES)
        self._board_dropped = self._counter(names.BOARD_DROPPED)
        self._refused = self._counter(refused)
        for status in names.STATUS.values:
            self._refused.labels(status)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.label_names, registry=self._registry)

    def request_refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def board_record_dropped(self) -> None:
        self._board_dropped.inc()

    def commit_seconds(self, seconds: float) -> None:
        """One write of ledgers took so long."""
        self._commit.observe(seconds)

    def commit_failed(self) -> None:
        """One write of ledgers was not acknowledged."""
        self._commit_failures.inc()

    def render(self) -> tuple[bytes, str]:
        """The text for Prometheus, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


class _Queue(Collector):
    """Reads the worker at the time of a scrape."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def describe(self) -> Iterator[_Family]:
        # Asked at registration, when there is nothing to be read yet.
        return iter(())

    def collect(self) -> Iterator[_Family]:
        yield from self._of_messages()
        yield from self._of_partitions()
        yield from self._of_groups()
        yield from self._of_clients()
        yield from self._of_cluster()

    def _of_messages(self) -> Iterator[_Family]:
        queues, counters = self._measured.overview.queues(), self._measured.overview.counters()
        partitions = [partition for queue in queues for partition in queue.partitions.values()]
        yield _one(names.LAG, sum(one.lag for one in self._measured.dispatcher.partitions.values()))
        yield _one(names.WAITING_MESSAGES, self._measured.waiting())
        yield _one(names.IN_FLIGHT, sum(queue.clients.in_flight for queue in queues))
        yield _one(names.BLOCKED, sum(one.blocked for one in partitions))
        yield _one(names.DELAYED, sum(len(one.delayed) + len(one.sleepers) for one in partitions))
        ages = self._measured.ages
        yield _histogram(names.DELIVERY_AGE, {(): (list(accumulate(ages.counts)), ages.seconds)})
        yield _one(names.DELIVERIES, counters.delivered)
        yield _one(names.REDELIVERIES, counters.redelivered)
        yield _one(names.NACKED, counters.nacked)
        yield _one(names.EXPIRED, counters.expired)
        yield _one(names.LOST_TO_RETENTION, counters.lost_to_retention)
        settled = {
            # The core counts a late ack as an ack too.
            ("acked",): counters.acked - counters.late,
            ("late",): counters.late,
            ("rejected",): counters.rejected,
            ("dead-lettered",): counters.dead_lettered,
        }
        yield _each(names.SETTLED, settled)

    def _of_partitions(self) -> Iterator[_Family]:
        measured, overview = self._measured, self._measured.overview
        partitions = measured.dispatcher.partitions
        queues = overview.queues()
        yield _one(names.TOPIC_PARTITIONS, measured.partitions_of_topic)
        yield _one(names.OWNED_PARTITIONS, len(measured.owned()))
        yield _each(names.PARTITION_LAG, {(str(number),): one.lag for number, one in partitions.items()})
        gaps = {
            (str(number),): sum(len(queue.partitions[number].ledger.settled) for queue in queues
                                if number in queue.partitions)
            for number in partitions
        }  # fmt: skip
        yield _each(names.PARTITION_SETTLED_ABOVE_FLOOR, gaps)
        yield _each(names.INTAKE_FULL, {(limit,): len(numbers) for limit, numbers in overview.full().items()})
        yield _one(names.BUFFER_BYTES, overview.bytes_held())
        rows = [one.row_bytes for queue in queues for one in queue.partitions.values()]
        yield _one(names.LEDGER_ROW_BYTES, max(rows, default=0))
        yield from self._ages()

    def _ages(self) -> Iterator[_Family]:
        """Looking for the oldest message of a partition takes a look at all that are held, so it is done once."""
        overview, now = self._measured.overview, self._measured.now()
        apart = overview.of_groups()
        by_group = {name: self._ages_in(queue, now) for name, queue in apart.items()}
        ages = list(by_group.values()) if apart else [self._ages_in(self._measured.dispatcher, now)]
        oldest = {
            (str(number),): max((of_one.get(number, 0.0) for of_one in ages), default=0.0)
            for number in self._measured.dispatcher.partitions
        }
        yield _one(names.OLDEST_UNSETTLED_AGE, max(oldest.values(), default=0.0))
        yield _each(names.PARTITION_OLDEST_UNSETTLED_AGE, oldest)
        yield _each(
            names.GROUP_OLDEST_UNSETTLED_AGE,
            {(name,): max(of_one.values(), default=0.0) for name, of_one in by_group.items()},
        )

    def _ages_in(self, queue: Dispatcher, now: float) -> dict[int, float]:
        return {number: self._age(partition, now) for number, partition in queue.partitions.items()}

    def _age(self, partition: PartitionQueue, now: float) -> float:
        """Seconds; 0 where nothing is unsettled, or where the producer's clock is ahead of ours."""
        oldest = partition.oldest_held()
        # -1 is Kafka's word for a record without a timestamp.
        if oldest is None or oldest.timestamp < 0:
            return 0.0
        return max(0.0, (self._measured.unix_ms(now) - oldest.timestamp) / 1000)

    def _of_groups(self) -> Iterator[_Family]:
        """Of those that have a weight or, where each gets everything, a ledger: not of whatever names clients give."""
        overview = self._measured.overview
        weights = self._measured.canary.state.weights if overview.by_weight else {}
        held, shared = self._measured.guarding.held, self._measured.dispatcher.leases.windows
        yield _by_group(names.GROUP_WEIGHT, weights)
        yield _by_group(names.GROUP_HELD, {group: group in held for group in weights})
        # One that has gone is told of no more.
        ledgers = overview.of_groups()
        lags = {name: sum(one.lag for one in queue.partitions.values()) for name, queue in ledgers.items()}
        yield _by_group(names.GROUP_LAG, lags)
        yield from _handed_out(
            {**dict.fromkeys(weights, shared), **{name: queue.leases.windows for name, queue in ledgers.items()}}
        )
        decided = self._measured.guarding.decided
        yield _each(names.CANARY_DECISIONS, {(decision,): decided[decision] for decision in names.DECISION.values})

    def _of_clients(self) -> Iterator[_Family]:
        queues, now, asking = self._measured.overview.queues(), self._measured.now(), self._measured.exchange.asking
        yield _one(names.CLIENTS, sum(one.alive(now, queue.clients.ttl) for queue in queues for one in queue.clients))
        yield _one(names.WAITING_PULLS, sum(queue.clients.waiting for queue in queues))
        yield _one(names.RELAYED, asking.relayed)
        yield _one(names.RETURNED, asking.returned)

    def _of_cluster(self) -> Iterator[_Family]:
        measured, leading = self._measured, self._measured.leading
        yield _each(names.INFO, {(measured.id, measured.topic, measured.worker, _VERSION): 1})
        yield _one(names.DEGRADED, len(measured.degraded()))
        yield _one(names.PAUSED, measured.dispatcher.paused)
        # This worker knows that it is there, heard or not.
        others = measured.roster.peers(measured.now())
        yield _one(names.WORKERS, 1 + len(others))
        yield _one(names.PEERS, len(measured.exchange.peers))
        yield _one(names.LEADING, leading.may_act())
        yield _one(names.LEADER_EPOCH, leading.epoch or 0)
        yield _one(names.LEADER_CHANGES, leading.changes)
        yield _one(names.TASKS, len(asyncio.all_tasks()))


def _handed_out(windows: Mapping[str, Windows]) -> Iterator[_Family]:
    delivered: dict[tuple[str, ...], float] = {}
    ended: dict[tuple[str, ...], float] = {}
    for group, counted in windows.items():
        delivered[(group,)], *rest = counted.totals.get(group, (0, 0, 0, 0))
        for how, amount in zip(names.ENDED_HOW.values, rest, strict=True):
            ended[(group, how)] = amount
    times = {(group,): counted.ack_times(group) for group, counted in windows.items()}
    bounds = names.GROUP_ACK.bounds
    yield _histogram(names.GROUP_ACK, {group: (one.within(bounds), one.seconds) for group, one in times.items()})
    yield _each(names.GROUP_DELIVERIES, delivered)
    yield _each(names.GROUP_ENDED, ended)


def _by_group(metric: Metric, values: Mapping[str, float]) -> _Family:
    return _each(metric, {(group,): value for group, value in values.items()})


def _histogram(metric: Metric, values: Mapping[_Labels, tuple[Sequence[int], float]]) -> _Family:
    """By the values of its labels: how many were up to each bound and at last in all, and their sum."""
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.label_names)
    buckets = [*map(repr, map(float, metric.bounds)), "+Inf"]
    for labels, (counts, total) in values.items():
        family.add_metric(labels, list(zip(buckets, counts, strict=True)), total)
    return family


def _one(metric: Metric, value: float) -> _Family:
    return _each(metric, {(): value})


def _each(metric: Metric, values: Mapping[_Labels, float]) -> _Family:
    """Its samples, by the values of its labels."""
    family_of = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = family_of(metric.name, metric.help, labels=metric.label_names)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
