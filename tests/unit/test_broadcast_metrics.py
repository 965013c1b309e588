"""What Prometheus is told of groups that each get everything."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.requests import Settle
from fanout_app.metrics import Metrics
from unit.fake_ports import until
from unit.scene import entries
from unit.test_broadcast import TTL, Broadcasting


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Broadcasting]:
    for name, value in (("ID", "a"), ("TOPIC", "t"), ("DELIVERY", "broadcast"), ("CLIENT_TTL", f"{TTL}s")):
        monkeypatch.setenv(f"FANOUT_{name}", value)
    scene = Broadcasting(replace(Limits(), client_ttl=TTL))
    await scene.own(0, 1)
    yield scene
    await scene.stop()


def told(scene: Broadcasting) -> set[str]:
    """The lines of groups, without those that the clock decides."""
    text = Metrics(scene.runtime).render()[0].decode()
    clock = re.compile("_age_|_sum|_bucket")
    return {line for line in text.splitlines() if line.startswith("fanout_group_") and not clock.search(line)}


async def test_each_group_has_its_own_counts_and_lag(scene: Broadcasting) -> None:
    await scene.joined("x", "y")
    scene.kafka.ends = {0: 6, 1: 0}
    await scene.arrive(*range(4))
    await scene.runtime.watch_log()
    x, y = await scene.of("x", 3), await scene.of("y", 2)
    await scene.runtime.settle(Settle(ack=entries(x)[:2], nack=entries(y)[:1]))
    assert told(scene) == {
        'fanout_group_lag{group="x"} 4.0',
        'fanout_group_lag{group="y"} 6.0',
        'fanout_group_deliveries_total{group="x"} 3.0',
        'fanout_group_deliveries_total{group="y"} 2.0',
        'fanout_group_ack_seconds_count{group="x"} 2.0',
        'fanout_group_ack_seconds_count{group="y"} 0.0',
        'fanout_group_ended_total{group="x",how="acked"} 2.0',
        'fanout_group_ended_total{group="x",how="nacked"} 0.0',
        'fanout_group_ended_total{group="x",how="expired"} 0.0',
        'fanout_group_ended_total{group="y",how="acked"} 0.0',
        'fanout_group_ended_total{group="y",how="nacked"} 1.0',
        'fanout_group_ended_total{group="y",how="expired"} 0.0',
    }


async def test_one_that_has_gone_is_told_of_no_more(scene: Broadcasting) -> None:
    await scene.joined("x")
    assert told(scene)
    await until(lambda: not scene.runtime.groups.named())
    assert told(scene) == set()


async def _has_one_and_goes(scene: Broadcasting, group: str) -> None:
    await scene.joined(group)
    await scene.arrive(scene.runtime.dispatcher.partitions[0].next_offset)
    assert len(await scene.get(group)) == 1
    scene.runtime.leave(group)
    await until(lambda: scene.runtime.groups.of(group) is None)


async def test_one_that_comes_back_goes_on_counting_from_where_it_was(scene: Broadcasting) -> None:
    await _has_one_and_goes(scene, "x")
    await scene.joined("x")
    assert 'fanout_group_deliveries_total{group="x"} 1.0' in told(scene)
    await _has_one_and_goes(scene, "x")
    await scene.joined("x")
    assert 'fanout_group_deliveries_total{group="x"} 2.0' in told(scene)
    await scene.arrive(scene.runtime.dispatcher.partitions[0].next_offset)
    await scene.ack(await scene.of("x"))
    assert 'fanout_group_ack_seconds_count{group="x"} 1.0' in told(scene)
    scene.runtime.leave("x")
    await until(lambda: scene.runtime.groups.of("x") is None)
    await scene.joined("x")
    assert 'fanout_group_ack_seconds_count{group="x"} 1.0' in told(scene)


async def test_of_those_that_have_gone_the_latest_are_remembered(
    scene: Broadcasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanout_app.broadcast._REMEMBERED", 2)
    for group in "xyz":
        await _has_one_and_goes(scene, group)
    await scene.joined(*"xyz")
    counts = {line for line in told(scene) if "deliveries" in line}
    assert counts == {f'fanout_group_deliveries_total{{group="{name}"}} {float(name != "x")}' for name in "xyz"}
