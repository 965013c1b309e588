"""The same with a real Kafka, which is taken away, and with workers of which one is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from alerts.scraping import WELL, once, scrape
from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.promtool import Timeline
from support.scraped import series
from support.stack import Stack
from support.workers import READY_TOGETHER, Worker, Workers

PARTITIONS = 3


async def test_kafka_that_does_not_answer(
    fresh: Worker, stack: Stack, kafka: Kafka, session: aiohttp.ClientSession, client: MakeClient, tmp_path: Path
) -> None:
    timeline = Timeline()
    timeline.goes_on(WELL, a=await once(session, fresh, leading=1))
    await kafka.produce(fresh.topic, "a")
    (held,) = await client(fresh, "one").take(1)
    stack.pause("kafka-1")
    try:
        acking = asyncio.create_task(client(fresh, "one").ack(held.lease))
        for failures in range(1, 5):
            timeline.goes_on(1, a=await once(session, fresh, commit_failures_total=failures))
    finally:
        stack.resume("kafka-1")
    await acking
    timeline.fires(tmp_path, "FanoutCommitsFail", "FanoutNoLeader")


async def test_records_of_strangers_on_the_board(
    fresh: Worker, kafka: Kafka, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    timeline = Timeline()
    timeline.goes_on(WELL, a=await once(session, fresh, leading=1))
    await kafka.write(f"fanout_service_{fresh.topic}", key=b"worker/stranger", value=b"{}")
    timeline.goes_on(2, a=await once(session, fresh, board_dropped_total=1))
    timeline.fires(tmp_path, "FanoutBoardDropped")


async def test_a_leader_that_is_killed(
    workers: Workers, kafka: Kafka, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    topic = await kafka.new_topic(PARTITIONS)
    pair = [workers.launch(topic) for _ in range(2)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
    well: list[bytes] = []

    async def is_well() -> bool:
        nonlocal well
        well = [await scrape(session, worker) for worker in pair]
        found = [series(one) for one in well]
        owned = sum(one["fanout_owned_partitions"] for one in found)
        return (
            owned == PARTITIONS
            and sum(one["fanout_leading"] for one in found) == 1
            and all(one["fanout_workers"] == 2 for one in found)
        )

    await eventually(is_well, READY_TOGETHER)
    leader = max(range(2), key=lambda at: series(well[at])["fanout_leading"])
    leads, other = pair[leader], pair[1 - leader]
    timeline = Timeline()
    timeline.goes_on(WELL, leads=well[leader], other=well[1 - leader])
    leads.kill9()
    timeline.goes_on(4, leads=None, other=await scrape(session, other))
    timeline.fires(tmp_path, "FanoutWorkerDown", "FanoutNoLeader", "FanoutPartitionWithoutOwner")
    await once(session, other, owned_partitions=PARTITIONS)
    timeline.goes_on(2, leads=None, other=await once(session, other, leading=1))
    timeline.fires(tmp_path, "FanoutWorkerDown")
