"""What a worker tells Prometheus: exactly what the list has, and how much is left to do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from fanout_app import metric_names
from fanout_app.core.dispatcher import Limits
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Pull, Settle
from fanout_app.metric import Kind, Metric
from fanout_app.metric_names import CATALOGUE
from fanout_app.metrics import Metrics
from fanout_app.ports import WriteError
from support.scraped import families, series
from unit.fake_ports import LONG, until
from unit.scene import entries
from unit.test_broadcast import Broadcasting

Make = Callable[[str], Broadcasting]
EACH_DELIVERY = pytest.mark.parametrize("delivery", ["balance", "broadcast"])


@pytest.fixture
async def make(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Makes a worker that delivers so; it owns nothing yet."""
    scenes: list[Broadcasting] = []

    def make(delivery: str) -> Broadcasting:
        for name, value in (("ID", "a"), ("TOPIC", "t"), ("DELIVERY", delivery)):
            monkeypatch.setenv(f"FANOUT_{name}", value)
        scenes.append(Broadcasting(replace(Limits(), client_ttl=30.0, max_ack_pending=50)))
        return scenes[-1]

    yield make
    for scene in scenes:
        await scene.stop()


def scrape(scene: Broadcasting) -> bytes:
    return Metrics(scene.runtime).render()[0]


# The list ------------------------------------------------------------------------------------------------------------


@EACH_DELIVERY
async def test_what_is_exported_is_what_the_list_has(make: Make, delivery: str) -> None:
    scene = make(delivery)
    await scene.own(0, 1)
    exported = {name: (family.kind, family.help) for name, family in families(scrape(scene)).items()}
    assert exported == {metric.name: (metric.kind, metric.help) for metric in CATALOGUE}


@EACH_DELIVERY
async def test_every_series_has_the_labels_of_the_list(make: Make, delivery: str) -> None:
    scene = make(delivery)
    await scene.own(0, 1)
    await scene.of("x", wait=0.0)
    await scene.arrive(*range(60))
    scene.kafka.ends = {0: 70, 1: 0}
    await scene.runtime.watch_log()
    exported = families(scrape(scene))
    apart = {"fanout_group_lag", "fanout_group_oldest_unsettled_age_seconds"}
    weighed = {"fanout_group_weight", "fanout_group_held"}
    missing = weighed if delivery == "broadcast" else apart
    for metric in CATALOGUE:
        expected = set() if metric.name in missing else {frozenset(metric.label_names)}
        assert exported[metric.name].labels == expected, metric.name


async def test_each_value_of_a_label_that_is_counted_by_is_there_from_the_start(make: Make) -> None:
    """Where a series begins with its first event, an alert on its increase misses that one."""
    found = series(scrape(make("balance")))
    for metric in CATALOGUE:
        if metric.kind is Kind.COUNTER and metric.label_names in ([one.name] for one in metric.labels if one.values):
            (label,) = metric.labels
            for value in label.values:
                assert found[f'{metric.name}{{{label.name}="{value}"}}'] == 0


def test_no_constant_is_missing_in_the_list_and_no_name_is_there_twice() -> None:
    constants = [one for one in vars(metric_names).values() if isinstance(one, Metric)]
    assert {metric.name for metric in constants} <= {metric.name for metric in CATALOGUE}
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_names_are_as_prometheus_wants_them(metric: Metric) -> None:
    assert re.fullmatch(r"(fanout|process)(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert not metric.name.endswith(("_sum", "_count", "_bucket", "_created"))
    for unit in ("seconds", "bytes"):
        assert (unit in metric.unit) == (f"_{unit}" in metric.name), "of a base unit, which it names"
    assert not re.search(r"_(ms|millis\w*|minutes|hours|kib|mib|percent)\b", metric.name)
    assert metric.help.endswith(".")
    assert list(metric.bounds) == sorted(set(metric.bounds))
    assert bool(metric.bounds) == (metric.kind is Kind.HISTOGRAM)


# How much is left ----------------------------------------------------------------------------------------------------


async def test_lag_is_what_is_not_settled_and_not_how_far_it_goes(make: Make) -> None:
    scene = make("balance")
    await scene.own(0, 1)
    scene.kafka.ends = {0: 10, 1: 3}
    await scene.arrive(*range(8))
    await scene.runtime.watch_log()
    await scene.runtime.settle(Settle(ack=entries(await scene.answer("A", 6))[1:], durable=True))
    found = series(scrape(scene))
    assert found['fanout_partition_lag{partition="0"}'] == 5, "0, 6, 7 and two in Kafka"
    assert found['fanout_partition_lag{partition="1"}'] == 3
    assert found["fanout_lag"] == 8 == scene.runtime.status()["lag"]
    assert found['fanout_partition_settled_above_floor{partition="0"}'] == 5


async def test_lag_counts_what_was_read_since_the_end_of_the_log_was_looked_up(make: Make) -> None:
    scene = make("balance")
    await scene.own(0)
    await scene.arrive(*range(4))
    assert series(scrape(scene))["fanout_lag"] == 4


async def test_of_a_group_lag_is_what_it_has_not_settled(make: Make) -> None:
    scene = make("broadcast")
    await scene.own(0)
    await scene.joined("x", "y")
    await scene.arrive(*range(4))
    await scene.ack(await scene.of("x", 3))
    await scene.runtime.settle(Settle(ack=entries(await scene.of("y", 4))[1:], durable=True))
    found = series(scrape(scene))
    assert (found['fanout_group_lag{group="x"}'], found['fanout_group_lag{group="y"}']) == (1, 1)
    assert found['fanout_partition_settled_above_floor{partition="0"}'] == 3


async def test_the_age_is_told_of_each_partition_and_group_that_has_an_old_message(make: Make) -> None:
    scene = make("broadcast")
    await scene.own(0, 1)
    await scene.joined("x", "y")
    await scene.arrive(0, number=1)
    await scene.ack(await scene.of("x"))
    found = series(scrape(scene))
    ages = {name: value for name, value in found.items() if "unsettled_age" in name}
    aged = {name for name, value in ages.items() if value > 0}
    assert aged == {
        "fanout_oldest_unsettled_age_seconds",
        'fanout_partition_oldest_unsettled_age_seconds{partition="1"}',
        'fanout_group_oldest_unsettled_age_seconds{group="y"}',
    }
    assert len(ages) == 5


# How long it takes ---------------------------------------------------------------------------------------------------


class Gone:
    """A client that has gone when it is its turn."""

    def take(self, answer: Answer) -> bool:
        return False

    def go_home(self) -> None:
        pass


async def test_how_old_messages_were_counts_those_that_somebody_took(make: Make) -> None:
    scene = make("balance")
    await scene.own(0)
    scene.runtime.queue.pulls.add(Pull(client="gone", max_messages=5), Gone())
    await scene.arrive(0, 1)
    assert series(scrape(scene))["fanout_delivery_age_seconds_count"] == 0
    assert await scene.get("stable") == [0, 1]
    found = series(scrape(scene))
    assert found["fanout_delivery_age_seconds_count"] == 2
    # The messages of tests are of 1970.
    assert found['fanout_delivery_age_seconds_bucket{le="21600.0"}'] == 0
    assert found["fanout_delivery_age_seconds_sum"] > 2 * 50 * 365 * 86400


@EACH_DELIVERY
async def test_how_old_messages_were_is_counted_in_every_queue(make: Make, delivery: str) -> None:
    scene = make(delivery)
    await scene.own(0)
    for group in ("stable", "other") if delivery == "broadcast" else ("stable",):
        await scene.of(group, wait=0.0)
    await scene.arrive(0, 1, 2)
    await scene.get("stable")
    assert series(scrape(scene))["fanout_delivery_age_seconds_count"] == 3
    if delivery == "broadcast":
        await scene.get("other")
        assert series(scrape(scene))["fanout_delivery_age_seconds_count"] == 6


@EACH_DELIVERY
async def test_how_long_acks_took_is_told_by_group(make: Make, delivery: str) -> None:
    scene = make(delivery)
    await scene.own(0)
    await scene.of("stable", wait=0.0)
    await scene.arrive(0, 1, 2)
    await scene.ack(await scene.of("stable", 2))
    found = series(scrape(scene))
    assert found['fanout_group_ack_seconds_count{group="stable"}'] == 2
    assert found['fanout_group_ack_seconds_bucket{group="stable",le="300.0"}'] == 2
    assert 0 < found['fanout_group_ack_seconds_sum{group="stable"}'] < 2 * LONG


# The worker ----------------------------------------------------------------------------------------------------------


async def test_partitions_are_owned_while_no_rebalance_is_under_way(make: Make) -> None:
    scene = make("balance")
    await scene.own(0, 2)
    found = series(scrape(scene))
    assert (found["fanout_topic_partitions"], found["fanout_owned_partitions"]) == (3, 2)
    scene.rebalance(0, 2)
    assert series(scrape(scene))["fanout_owned_partitions"] == 0


async def test_a_degraded_worker_says_for_how_many_reasons(make: Make) -> None:
    scene = make("balance")
    await scene.own(0)
    assert series(scrape(scene))["fanout_degraded"] == 0
    scene.terms.confirmed = False
    assert series(scrape(scene))["fanout_degraded"] == len(scene.runtime.status()["degraded"]) == 1


@EACH_DELIVERY
async def test_each_write_that_kafka_does_not_take_is_counted(make: Make, delivery: str) -> None:
    scene = make(delivery)
    metrics = Metrics(scene.runtime)
    scene.runtime.commit.on_commit_failed = metrics.commit_failed
    await scene.own(0)
    await scene.of("stable", wait=0.0)
    await scene.arrive(0)
    answer = await scene.of("stable")
    scene.kafka.fail("write_row" if delivery == "balance" else "write_slot", WriteError("no broker"))
    await scene.ack(answer)
    await until(lambda: series(metrics.render()[0])["fanout_commit_failures_total"] == 1)


async def test_it_says_who_it_is(make: Make) -> None:
    (name,) = (name for name in series(scrape(make("balance"))) if name.startswith("fanout_info"))
    assert re.fullmatch(r'fanout_info\{id="a",topic="t",version="[\d.]+",worker="w"\}', name)
