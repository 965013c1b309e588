"""A new release of a small service gets 5 % of the orders, then 25 %, fails, and is taken out: with a picture of it.

examples/canary/run [--picture FILE]

It starts a Kafka, a ZooKeeper, two workers and four instances of `examples/canary/service.py`, and ends them.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaProducer

from examples.canary.record import Record
from examples.canary.story import Story
from examples.demo.__main__ import make_topic
from examples.demo.cluster import Cluster
from examples.demo.servers import Worker, running_stack, running_workers, say

PARTITIONS = 4


async def tell(workers: list[Worker], brokers: str) -> Record:
    async with aiohttp.ClientSession() as http, AIOKafkaProducer(bootstrap_servers=brokers, acks="all") as producer:
        cluster = Cluster(http, workers)
        cluster.show(await cluster.settled(PARTITIONS))
        story = Story(http, producer, [worker.address for worker in workers])
        await story.tell()
        return story.record


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="examples/canary/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", type=Path, help="draw what happened to this PNG file")
    args = parser.parse_args()
    with running_stack(keep=False) as stack:
        asyncio.run(make_topic(stack.brokers, PARTITIONS))
        with running_workers(stack, 2, keep=False) as workers:
            record = asyncio.run(tell(workers, stack.brokers))
    say(f"\n{record.summary()}")
    if args.picture is not None:
        # What it draws with is not needed for the rest.
        from examples.canary.picture import draw

        draw(record, args.picture)
        say(f"picture: {args.picture}")
    wrong = record.wrong()
    if wrong:
        raise SystemExit(wrong)


if __name__ == "__main__":
    # So that what has been started is ended again on this signal too.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
