"""What is to wake somebody does, and nothing else: each alert is caused at a worker's runtime, which is scraped."""

from __future__ import annotations

import asyncio
import os
import re
import resource
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from alerts.watched import Watched
from fanout_app.core.canary import CanaryState, Guard, Plan
from fanout_app.core.canary_row import CanaryRecord, encode_canary
from fanout_app.core.requests import Settle
from fanout_app.ports import WriteError
from support.promtool import Timeline
from support.scraped import series
from unit.fake_ports import FakeFetch, until
from unit.scene import entries

#: Minutes for which all was well before, longer than any rule looks back.
WELL = 70


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setenv("FANOUT_ID", "a")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    scene = Watched()
    await scene.own(0, 1)
    await scene.work(5)
    yield scene
    await scene.stop()


@pytest.fixture
async def timeline(watched: Watched) -> Timeline:
    """All was well for long, and nothing was to be done."""
    timeline = Timeline()
    timeline.goes_on(WELL, a=watched.scrape())
    return timeline


async def told(watched: Watched, name: str, value: float) -> None:
    """Wait until a scrape says this."""
    await until(lambda: series(watched.scrape())[name] == value)


async def test_none_fires_where_nothing_is_to_be_done(timeline: Timeline, tmp_path: Path) -> None:
    timeline.fires(tmp_path)


async def test_none_fires_at_work(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    """With a nack and an expiry now and then, gaps, and a backlog that becomes neither more nor less."""
    await watched.come(3)
    for minute in range(WELL):
        await watched.work(30 if minute % 2 else 10)
        if minute % 20 == 0:
            await watched.come(1)
            await watched.runtime.settle(Settle(nack=entries(await watched.take())))
            await watched.ack([await watched.take("B")])
        timeline.goes_on(1, a=watched.scrape())
    timeline.fires(tmp_path)


# Messages ------------------------------------------------------------------------------------------------------------


async def lose(watched: Watched) -> None:
    """Retention has deleted three messages that nobody had fetched."""
    at = watched.runtime.dispatcher.partitions[0].next_offset + 3
    watched.kafka.log_starts[0] = at
    await watched.runtime.take(FakeFetch(0, at, at))


async def test_lost_messages(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    await lose(watched)
    timeline.goes_on(1, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutMessagesLost")
    timeline.goes_on(60, a=watched.scrape())
    timeline.fires(tmp_path)


async def test_messages_lost_before_a_worker_is_scraped_for_the_first_time(
    watched: Watched, timeline: Timeline, tmp_path: Path
) -> None:
    well = watched.scrape()
    await lose(watched)
    timeline.goes_on(2, a=well, b=watched.scrape())
    timeline.fires(tmp_path, "FanoutMessagesLost")


async def test_nothing_settled(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    await watched.come(1)
    held = await watched.take()
    timeline.goes_on(9, a=watched.scrape())
    timeline.fires(tmp_path)
    timeline.goes_on(3, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutNothingSettled")
    await watched.ack([held])
    timeline.goes_on(2, a=watched.scrape())
    timeline.fires(tmp_path)


async def test_lag_that_grows(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    for minute in range(WELL):
        await watched.work()
        watched.kafka.ends = {0: 5000 + 100 * minute, 1: 0}
        await watched.runtime.watch_log()
        timeline.goes_on(1, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutLagGrows")


async def test_an_old_message(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    await watched.come(1, seconds_ago=700)
    timeline.goes_on(5, a=watched.scrape())
    timeline.fires(tmp_path)
    timeline.goes_on(2, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutOldMessage")


async def test_leases_that_expire(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    for minute in range(25):
        await watched.work(5)
        await watched.come(1)
        await watched.take(f"dead{minute}", ack_wait=0.005)
        await told(watched, "fanout_expired_total", minute + 1)
        await watched.ack([await watched.take("alive")])
        timeline.goes_on(1, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutManyExpire")


async def test_a_parked_message(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    await watched.come(1)
    await watched.runtime.settle(Settle(reject=entries(await watched.take()), durable=True))
    assert watched.kafka.put_away
    timeline.goes_on(1, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutMessagesParked")


async def test_a_limit_that_stops_the_intake(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    await watched.come(20)
    held = await watched.take(count=19)
    watched.kafka.ends = {0: 100, 1: 0}
    await watched.runtime.watch_log()
    timeline.goes_on(17, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutIntakeFull", "FanoutDegraded", "FanoutNothingSettled")
    await watched.ack([held])
    timeline.goes_on(1, a=watched.scrape())
    timeline.fires(tmp_path)


async def test_a_pause(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    await watched.runtime.pause()
    timeline.goes_on(60, a=watched.scrape())
    timeline.fires(tmp_path)
    timeline.goes_on(2, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutPaused")


# Groups --------------------------------------------------------------------------------------------------------------


async def test_a_group_that_is_taken_out_where_nobody_leads(
    watched: Watched, timeline: Timeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanout_app.guarding._EVERY", 0.01)
    guard = Guard(window_ms=60_000, min_samples=1, max_failure_ratio=0.0)
    state = CanaryState(version=1, weights={"stable": 1, "canary": 99}, plans={"canary": Plan(guard=guard)})
    watched.runtime.canary.was(encode_canary(CanaryRecord(1, state), id="a", topic="t"))
    watched.leads.acting = False
    await watched.come(8)
    taken = await watched.take("new", 4, group="canary")
    await watched.runtime.settle(Settle(nack=entries(taken)))
    await told(watched, 'fanout_group_held{group="canary"}', 1)
    timeline.goes_on(3, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutGroupHeld", "FanoutNoLeader")


# Ledgers -------------------------------------------------------------------------------------------------------------


async def test_ledgers_that_kafka_does_not_take(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    for times in range(1, 8):
        watched.kafka.fail("write_row", WriteError("no broker"))
        await watched.work()
        await told(watched, "fanout_commit_failures_total", times)
        timeline.goes_on(1, a=watched.scrape())
        timeline.fires(tmp_path, *["FanoutCommitsFail"] * (times > 3))


async def test_one_write_that_failed_wakes_nobody(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    watched.kafka.fail("write_row", WriteError("no broker"))
    await watched.work()
    await told(watched, "fanout_commit_failures_total", 1)
    for _ in range(8):
        timeline.goes_on(1, a=watched.scrape())
        timeline.fires(tmp_path)


async def test_slow_writes(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    for _ in range(4):
        held = watched.kafka.hold("write_row")
        await watched.work()
        await held.reached()
        asyncio.get_running_loop().call_later(0.6, held.go_on)
        written = series(watched.scrape())["fanout_commit_seconds_count"]
        await told(watched, "fanout_commit_seconds_count", written + 1)
        timeline.goes_on(3, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutCommitsSlow")


# Workers -------------------------------------------------------------------------------------------------------------


async def test_a_worker_that_does_not_answer(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    timeline.goes_on(1, a=watched.scrape(), b=None)
    timeline.fires(tmp_path)
    timeline.goes_on(2, a=watched.scrape(), b=None)
    timeline.fires(tmp_path, "FanoutWorkerDown")


async def test_a_worker_that_starts_again_and_again(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    for start in range(1, 6):
        began = re.sub(rb"(?m)^(process_start_time_seconds) .*$", rb"\1 18%d" % start, watched.scrape())
        timeline.goes_on(3, a=began)
    timeline.fires(tmp_path, "FanoutRestarts")


async def test_a_rebalance_that_does_not_end(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    watched.rebalance(0, 1)
    timeline.goes_on(2, a=watched.scrape())
    timeline.fires(tmp_path)
    timeline.goes_on(2, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutPartitionWithoutOwner")
    await watched.runtime.start({0, 1})
    timeline.goes_on(1, a=watched.scrape())
    timeline.fires(tmp_path)


async def test_workers_that_do_not_hear_each_other(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    timeline.goes_on(4, a=watched.scrape(), b=watched.scrape())
    timeline.fires(tmp_path, "FanoutWorkersApart")


async def test_nobody_leads(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    watched.leads.acting = False
    timeline.goes_on(2, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutNoLeader")


async def test_a_leader_that_changes_often(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    for watched.leads.changes in range(1, 9):
        timeline.goes_on(2, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutLeaderChanges")


async def test_a_degraded_worker(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    watched.terms.confirmed = False
    timeline.goes_on(5, a=watched.scrape())
    timeline.fires(tmp_path)
    timeline.goes_on(2, a=watched.scrape())
    timeline.fires(tmp_path, "FanoutDegraded")


@pytest.mark.parametrize(
    ("alert", "happens", "times"),
    [
        ("FanoutBoardDropped", lambda watched: watched.metrics.board_record_dropped(), 1),
        ("FanoutRefused", lambda watched: watched.metrics.request_refused(401), 11),
        ("FanoutRefused", lambda watched: watched.metrics.request_refused(403), 11),
    ],
    ids=["records of strangers", "401", "403"],
)
async def test_what_is_refused(
    watched: Watched, timeline: Timeline, tmp_path: Path, alert: str, happens: Callable[[Watched], None], times: int
) -> None:
    for _ in range(times):
        happens(watched)
    timeline.goes_on(2, a=watched.scrape())
    timeline.fires(tmp_path, alert)


async def test_files_that_run_out(watched: Watched, timeline: Timeline, tmp_path: Path) -> None:
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(200)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(opened) + 5, before[1]))
    try:
        scraped = watched.scrape()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for number in opened:
            os.close(number)
    timeline.goes_on(7, a=scraped)
    timeline.fires(tmp_path, "FanoutFilesRunOut")
