"""Writes a numbered message every so often, round the partitions of a topic.

.venv/bin/python examples/producer.py TOPIC --brokers HOST:PORT [--every SECONDS]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools

from aiokafka import AIOKafkaProducer


async def produce(brokers: str, topic: str, every: float) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all")
    await producer.start()
    try:
        partitions = sorted(await producer.partitions_for(topic))
        for number in itertools.count(1):
            partition = partitions[number % len(partitions)]
            await producer.send_and_wait(topic, f"message {number}".encode(), partition=partition)
            await asyncio.sleep(every)
    finally:
        await producer.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topic")
    parser.add_argument("--brokers", default="127.0.0.1:9092")
    parser.add_argument("--every", type=float, default=1.0, help="seconds")
    args = parser.parse_args()
    try:
        asyncio.run(produce(args.brokers, args.topic, args.every))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
