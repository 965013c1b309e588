"""What one worker with a real Kafka is scraped for when clients, messages or a server are as an alert says."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp

from alerts.scraping import WELL, once, scrape, value_of
from support.canary import Shares
from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.promtool import Timeline
from support.stack import Stack
from support.workers import Worker, Workers

#: Of a topic of its own.
PARTITIONS = 1


async def well(session: aiohttp.ClientSession, worker: Worker) -> Timeline:
    timeline = Timeline()
    timeline.goes_on(WELL, a=await once(session, worker, leading=1))
    return timeline


async def settled(session: aiohttp.ClientSession, worker: Worker) -> bytes:
    """What it says once nothing is left."""
    said = b""

    async def nothing_left() -> bool:
        nonlocal said
        said = await scrape(session, worker)
        return value_of(said, "lag") == 0

    await eventually(nothing_left)
    return said


async def test_messages_that_kafka_deletes_while_no_worker_is_there(
    workers: Workers, kafka: Kafka, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    """As retention does, without its five minutes."""
    topic = await kafka.new_topic(PARTITIONS)
    worker = await workers.start(topic)
    timeline = await well(session, worker)
    await kafka.produce(topic, *map(str, range(30)))
    one = client(worker, "one")
    assert (await one.ack(*[message.lease for message in await one.take(5)])).acked == 5
    worker.kill9()
    await kafka.delete_below(topic, {0: 20})
    timeline.goes_on(1, a=None)
    timeline.fires(tmp_path)
    again = await workers.again(worker).ready()
    assert (await one.ack(*[message.lease for message in await one.take(10, at=again)])).acked == 10
    timeline.goes_on(2, a=await once(session, again, lost_to_retention_total=15, leading=1))
    timeline.fires(tmp_path, "FanoutMessagesLost")


async def test_a_client_that_holds_a_message_and_says_nothing(
    fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    timeline = await well(session, fresh)
    await kafka.produce(fresh.topic, "a")
    (held,) = await client(fresh, "one").take(1, ack_wait_ms=600_000)
    timeline.goes_on(12, a=await once(session, fresh, lag=1, in_flight=1))
    timeline.fires(tmp_path, "FanoutNothingSettled")
    await client(fresh, "one").ack(held.lease)
    timeline.goes_on(2, a=await settled(session, fresh))
    timeline.fires(tmp_path)


async def test_more_comes_in_than_clients_settle(
    fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    timeline = await well(session, fresh)
    one = client(fresh, "one")
    for turn in range(13):
        await kafka.produce(fresh.topic, *map(str, range(100 if turn else 1200)))
        await one.ack(*[message.lease for message in await one.take(20)])
        timeline.goes_on(5, a=await once(session, fresh, lag=1180 + 80 * turn))
    timeline.fires(tmp_path, "FanoutLagGrows")


async def test_one_message_is_held_while_others_are_done(
    fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    timeline = await well(session, fresh)
    long_ago = int(1000 * (time.time() - 700))
    await kafka.produce(fresh.topic, "old", timestamp_ms=long_ago)
    (held,) = await client(fresh, "slow").take(1, ack_wait_ms=600_000)
    one = client(fresh, "one")
    for _ in range(7):
        await kafka.produce(fresh.topic, "a")
        await one.ack(*[message.lease for message in await one.take(1)])
        timeline.goes_on(1, a=await once(session, fresh, oldest_unsettled_age_seconds=601))
    timeline.fires(tmp_path, "FanoutOldMessage")
    await client(fresh, "slow").ack(held.lease)
    timeline.goes_on(1, a=await settled(session, fresh))
    timeline.fires(tmp_path)


async def test_clients_that_die_with_messages(
    fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    timeline = await well(session, fresh)
    for turn in range(1, 6):
        await kafka.produce(fresh.topic, *map(str, range(5)))
        await client(fresh, f"dead{turn}").take(1, ack_wait_ms=50)
        expired = await once(session, fresh, expired_total=turn)
        one = client(fresh, "one")
        await one.ack(*[message.lease for message in await one.take(5)])
        assert value_of(expired, "expired_total") == turn
        timeline.goes_on(5, a=await settled(session, fresh))
    timeline.fires(tmp_path, "FanoutManyExpire")


async def test_a_message_that_is_rejected(
    fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    timeline = await well(session, fresh)
    await kafka.produce(fresh.topic, "bad")
    (bad,) = await client(fresh, "one").take(1)
    await client(fresh, "one").settle(reject=[{"lease": bad.lease}])
    timeline.goes_on(2, a=await settled(session, fresh))
    timeline.fires(tmp_path, "FanoutMessagesParked")


async def test_so_many_messages_are_held_that_no_more_is_fetched(
    workers: Workers, kafka: Kafka, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    worker = await workers.start(topic, max_ack_pending="10")
    timeline = await well(session, worker)
    await kafka.produce(topic, *map(str, range(10)))
    held = await client(worker, "one").take(10, ack_wait_ms=600_000)
    await kafka.produce(topic, *map(str, range(90)))
    timeline.goes_on(17, a=await once(session, worker, intake_full=1, degraded=1))
    timeline.fires(tmp_path, "FanoutIntakeFull", "FanoutDegraded", "FanoutNothingSettled")
    one = client(worker, "one")
    await one.ack(*[message.lease for message in held])
    for _ in range(9):
        await one.ack(*[message.lease for message in await one.take(10)])
    timeline.goes_on(2, a=await settled(session, worker))
    timeline.fires(tmp_path)


async def test_a_pause_that_is_forgotten(fresh: Worker, session: aiohttp.ClientSession, tmp_path: Path) -> None:
    timeline = await well(session, fresh)
    async with session.post(f"{fresh.url}/v1/pause") as response:
        assert response.status == 200
    timeline.goes_on(62, a=await once(session, fresh, paused=1))
    timeline.fires(tmp_path, "FanoutPaused")


async def test_a_broker_that_is_slow(
    fresh: Worker, stack: Stack, kafka: Kafka, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    """It stands still for most of a second whenever something is written."""
    timeline = await well(session, fresh)
    one = client(fresh, "one")
    for writes in range(1, 5):
        await kafka.produce(fresh.topic, "a")
        (message,) = await one.take(1)
        stack.pause("kafka-1")
        acking = asyncio.create_task(one.ack(message.lease))
        asyncio.get_running_loop().call_later(0.7, stack.resume, "kafka-1")
        assert (await acking).acked == 1
        await once(session, fresh, commit_seconds_count=writes)
        timeline.goes_on(3, a=await once(session, fresh, leading=1))
    timeline.fires(tmp_path, "FanoutCommitsSlow")


async def test_a_group_that_fails_where_nobody_leads_until_somebody_does(
    workers: Workers,
    stack: Stack,
    kafka: Kafka,
    session: aiohttp.ClientSession,
    client: MakeClient,
    tmp_path: Path,
) -> None:
    """ZooKeeper stands still meanwhile."""
    topic = await kafka.new_topic(PARTITIONS)
    worker = await workers.start(topic, zookeepers=stack.zookeepers)
    timeline = await well(session, worker)
    guard = {"min_samples": 1, "max_failure_ratio": 0.0, "window_ms": 600_000}

    async def set_shares() -> bool:
        """It leads a moment before it has read what holds."""
        put = await Shares(session).put(worker, {"stable": 1, "canary": 99}, guard=guard)
        return put.status == 200

    await eventually(set_shares)
    stack.pause("zookeeper-1")
    try:
        await eventually(lambda: leads_no_more(session, worker))
        await kafka.produce(topic, *map(str, range(20)))
        for delivery in (await client(worker, "new").pull(max_messages=5, group="canary")).messages:
            await client(worker, "new").nack(delivery.lease)
        timeline.goes_on(3, a=await once(session, worker, group_held=1))
        timeline.fires(tmp_path, "FanoutGroupHeld", "FanoutNoLeader")
    finally:
        stack.resume("zookeeper-1")
    decided = await once(session, worker, leading=1, canary_decisions_total=1)
    timeline.goes_on(2, a=decided)
    timeline.fires(tmp_path, "FanoutRolledBack")


async def leads_no_more(session: aiohttp.ClientSession, worker: Worker) -> bool:
    return value_of(await scrape(session, worker), "leading") == 0
