"""Starts everything, and shows who gets what, what happens to a message that nobody acks, and to a killed worker."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from examples.demo.cluster import Cluster
from examples.demo.scenes import Scenes
from examples.demo.servers import TOPIC, Worker, running_stack, running_workers, say

#: More of them do not fit a small machine.
MOST = 6


async def make_topic(brokers: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, partitions, 1)])
    finally:
        await admin.close()


async def produce(brokers: str, text: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
        await producer.send_and_wait(TOPIC, text.encode())


async def show(workers: list[Worker], brokers: str, partitions: int) -> None:
    async with aiohttp.ClientSession() as http, AIOKafkaProducer(bootstrap_servers=brokers, acks="all") as producer:
        cluster = Cluster(http, workers)
        view = await cluster.settled(partitions)
        cluster.show(view)
        scenes = Scenes(http, cluster, producer, view)
        await scenes.in_turn()
        await scenes.never_acked()
        if len(workers) > 1:
            await scenes.take_over()
        await scenes.nothing_left()


def try_it(address: str, brokers: str) -> None:
    say("\ntry it:")
    say(
        f"  curl -i -X POST '{address}/v1/next?wait_ms=5000'      # waits for a message; then, with the Location shown:"
    )
    say(f"  curl -i -X DELETE {address}/v1/leases/...")
    say(f"  curl -s -X POST {address}/v1/pull -d '{{\"max_messages\": 10}}'")
    say(f"  curl -s {address}/v1/status")
    say(f"  bin/demo --produce hello --brokers {brokers}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/demo", description=__doc__)
    parser.add_argument(
        "--workers", type=int, choices=range(1, MOST + 1), default=1, metavar="N",
        help=f"how many, up to {MOST}; of several one is killed (default: %(default)s, 3 show most)",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="leave everything running and print what to try")
    parser.add_argument("--produce", metavar="TEXT", help="only produce one message to a demo that was kept")
    parser.add_argument("--brokers", help="with --produce: the brokers that were printed")
    args = parser.parse_args()
    if args.produce is not None:
        if args.brokers is None:
            parser.error("--produce needs --brokers, as the demo that was kept has printed it")
        asyncio.run(produce(args.brokers, args.produce))
        return
    partitions = 3 if args.workers == 1 else 2 * args.workers
    with running_stack(args.keep) as stack:
        asyncio.run(make_topic(stack.brokers, partitions))
        with running_workers(stack, args.workers, args.keep) as workers:
            asyncio.run(show(workers, stack.brokers, partitions))
            if args.keep:
                try_it(next(worker.address for worker in workers if worker.runs), stack.brokers)


if __name__ == "__main__":
    # So that what has been started is ended again on this signal too.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        main()
    except aiohttp.ClientError as error:
        raise SystemExit(f"a worker does not answer as it should: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
