"""What Prometheus is told. Read from the queue when it asks, so a message costs nothing here."""

from __future__ import annotations

import asyncio
from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fanout_app import overview
from fanout_app.cluster.exchange import Exchange
from fanout_app.core.canary import CanaryState
from fanout_app.core.canary_steps import DECISIONS
from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.partition import PartitionQueue
from fanout_app.core.windows import Windows
from fanout_app.overview_of_groups import Overview

#: Every name with its help text.
TABLE: Final = {
    "fanout_waiting_messages": "Messages not handed out yet: held here or still in Kafka.",
    "fanout_in_flight": "Messages under a live lease.",
    "fanout_oldest_unsettled_age_seconds": "Age of the oldest unsettled message held here, by its own timestamp.",
    "fanout_deliveries_total": "Messages handed out, redeliveries included.",
    "fanout_redeliveries_total": "Messages handed out that a delivery of had ended badly before.",
    "fanout_settled_total": "Messages settled, by how: acked, late (acked after its lease), rejected or dead-lettered.",
    "fanout_expired_total": "Leases that ended by their time.",
    "fanout_nacked_total": "Messages nacked.",
    "fanout_lost_to_retention_total": "Messages deleted from the log before anyone settled them.",
    "fanout_clients": "Clients alive.",
    "fanout_waiting_pulls": "Pulls that wait for a message.",
    "fanout_tasks": "Tasks of the event loop; with as many connections as before there are as many as before.",
    "fanout_buffer_bytes": "Bytes of the messages held, buffered and leased.",
    "fanout_delayed": "Messages that wait for their time after a nack, in memory or not.",
    "fanout_blocked": "Messages held here that wait until an earlier one of their key is settled.",
    "fanout_ledger_row_bytes": "Size of the largest ledger row, when it was written last.",
    "fanout_intake_full": "Partitions of which a limit, named by its option, lets no more be fetched.",
    "fanout_peers": "Other workers that this one is connected to.",
    "fanout_relayed_total": "Messages that other workers have handed out to clients of this one.",
    "fanout_returned_total": "Messages that other workers handed out to clients of this one that needed them no more.",
    "fanout_paused": "1 while an operator's pause lasts.",
    "fanout_leading": "1 while this worker may act as the leader.",
    "fanout_leader_epoch": "Highest epoch of a leader that this worker has heard of.",
    "fanout_leader_changes_total": "How often this worker has followed another leader than before.",
    "fanout_board_dropped_total": "Records on the board that nobody with our lease keys has written, left out.",
    "fanout_group_weight": "Weight of a group; not set for one without.",
    "fanout_group_deliveries_total": "Messages handed out, by group; of those with a weight or a ledger of their own.",
    "fanout_group_ended_total": "Deliveries to a group that ended, by how: acked, nacked (or rejected), expired.",
    "fanout_group_lag": "With broadcast: messages of this worker's partitions from a group's floor to the log's end.",
    "fanout_group_held": "1 for a group that this worker has taken out by itself while nobody leads.",
    "fanout_canary_decisions_total": "What this worker, leading, has decided of groups: rolled back, raised, complete.",
    "fanout_refused_total": "Requests refused by their token, by status: 401 (none of ours) or 403 (its roles).",
    "fanout_commit_seconds": "Time of one write of ledgers, until Kafka acknowledged it.",
}
_COMMIT_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


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
    def waiting(self) -> int: ...
    def now(self) -> float: ...
    def unix_ms(self, at: float) -> int: ...


class Metrics:
    """The metrics of one worker, in a registry of their own: Faust and libraries keep theirs in the global one."""

    def __init__(self, measured: Measured) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Queue(measured))
        # Open files, memory and CPU time, under the names that every exporter uses; where /proc is not, none of them.
        ProcessCollector(registry=self._registry)
        name = "fanout_commit_seconds"
        self._commit = Histogram(name, TABLE[name], registry=self._registry, buckets=_COMMIT_BUCKETS)
        name = "fanout_board_dropped_total"
        self._board_dropped = Counter(name, TABLE[name], registry=self._registry)

        name = "fanout_refused_total"
        self._refused = Counter(name, TABLE[name], ["status"], registry=self._registry)
        for status in ("401", "403"):
            self._refused.labels(status)

    def request_refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def board_record_dropped(self) -> None:
        self._board_dropped.inc()

    def commit_seconds(self, seconds: float) -> None:
        """One write of ledgers took so long."""
        self._commit.observe(seconds)

    def render(self) -> tuple[bytes, str]:
        """The text for Prometheus, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


class _Queue(Collector):
    """Reads the dispatcher at the time of a scrape."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def describe(self) -> Iterator[Metric]:
        # Asked at registration, when there is nothing to be read yet.
        return iter(())

    def collect(self) -> Iterator[Metric]:
        dispatcher = self._measured.dispatcher
        groups = self._measured.overview
        queues, counters = groups.queues(), groups.counters()
        partitions = [partition for queue in queues for partition in queue.partitions.values()]
        now = self._measured.now()
        yield _gauge("fanout_waiting_messages", self._measured.waiting())
        yield _gauge("fanout_in_flight", sum(queue.clients.in_flight for queue in queues))
        yield _gauge("fanout_oldest_unsettled_age_seconds", self._oldest_age(partitions, now))
        alive = [client.alive(now, queue.clients.ttl) for queue in queues for client in queue.clients]
        yield _gauge("fanout_clients", sum(alive))
        yield _gauge("fanout_waiting_pulls", sum(queue.clients.waiting for queue in queues))
        yield _gauge("fanout_tasks", len(asyncio.all_tasks()))
        yield _gauge("fanout_buffer_bytes", groups.bytes_held())
        yield _gauge("fanout_delayed", sum(len(one.delayed) + len(one.sleepers) for one in partitions))
        yield _gauge("fanout_blocked", sum(one.blocked for one in partitions))
        yield _gauge("fanout_ledger_row_bytes", max((one.row_bytes for one in partitions), default=0))
        yield _gauge("fanout_paused", dispatcher.paused)
        leading = self._measured.leading
        yield _gauge("fanout_leading", leading.may_act())
        yield _gauge("fanout_leader_epoch", leading.epoch or 0)
        yield _counter("fanout_leader_changes_total", leading.changes)
        name = "fanout_intake_full"
        full = GaugeMetricFamily(name, TABLE[name], labels=["limit"])
        for limit, numbers in groups.full().items():
            full.add_metric([limit], len(numbers))
        yield full
        exchange = self._measured.exchange
        yield _gauge("fanout_peers", len(exchange.peers))
        yield _counter("fanout_relayed_total", exchange.asking.relayed)
        yield _counter("fanout_returned_total", exchange.asking.returned)
        yield _counter("fanout_deliveries_total", counters.delivered)
        yield _counter("fanout_redeliveries_total", counters.redelivered)
        yield _counter("fanout_expired_total", counters.expired)
        yield _counter("fanout_nacked_total", counters.nacked)
        yield _counter("fanout_lost_to_retention_total", counters.lost_to_retention)
        name = "fanout_settled_total"
        settled = CounterMetricFamily(name, TABLE[name], labels=["how"])
        # The core counts a late ack as an ack too.
        settled.add_metric(["acked"], counters.acked - counters.late)
        settled.add_metric(["late"], counters.late)
        settled.add_metric(["rejected"], counters.rejected)
        settled.add_metric(["dead-lettered"], counters.dead_lettered)
        yield settled
        yield from self._of_groups(groups)
        name = "fanout_canary_decisions_total"
        decisions = CounterMetricFamily(name, TABLE[name], labels=["decision"])
        for decision in DECISIONS:
            decisions.add_metric([decision], self._measured.guarding.decided[decision])
        yield decisions

    def _of_groups(self, groups: Overview) -> Iterator[Metric]:
        """Of those that have a weight or, where each gets everything, a ledger: not of whatever names clients give."""
        weights = self._measured.canary.state.weights if groups.by_weight else {}
        held, shared = self._measured.guarding.held, self._measured.dispatcher.leases.windows
        yield _by_group("fanout_group_weight", weights)
        yield _by_group("fanout_group_held", {group: group in held for group in weights})
        # One that has gone is told of no more.
        ledgers = groups.of_groups()
        yield _by_group("fanout_group_lag", {name: overview.totals(queue)["lag"] for name, queue in ledgers.items()})
        yield from _handed_out(
            {**dict.fromkeys(weights, shared), **{name: queue.leases.windows for name, queue in ledgers.items()}}
        )

    def _oldest_age(self, partitions: Iterable[PartitionQueue], now: float) -> float:
        """Seconds; 0 where nothing is unsettled, or where the producer's clock is ahead of ours."""
        held = [partition.oldest_held() for partition in partitions]
        # -1 is Kafka's word for a record without a timestamp.
        stamps = [message.timestamp for message in held if message is not None and message.timestamp >= 0]
        return max(0.0, (self._measured.unix_ms(now) - min(stamps)) / 1000) if stamps else 0.0


def _handed_out(windows: Mapping[str, Windows]) -> Iterator[Metric]:
    name = "fanout_group_deliveries_total"
    delivered = CounterMetricFamily(name, TABLE[name], labels=["group"])
    name = "fanout_group_ended_total"
    ended = CounterMetricFamily(name, TABLE[name], labels=["group", "how"])
    for group, counted in windows.items():
        count, *rest = counted.totals.get(group, (0, 0, 0, 0))
        delivered.add_metric([group], count)
        for how, amount in zip(("acked", "nacked", "expired"), rest, strict=True):
            ended.add_metric([group, how], amount)
    yield from (delivered, ended)


def _by_group(name: str, values: Mapping[str, float]) -> Metric:
    gauge = GaugeMetricFamily(name, TABLE[name], labels=["group"])
    for group, value in values.items():
        gauge.add_metric([group], value)
    return gauge


def _gauge(name: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, TABLE[name], value=value)


def _counter(name: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, TABLE[name], value=value)
