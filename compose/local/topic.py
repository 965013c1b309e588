"""Makes sure that a topic is there, for a Procfile that starts everything at once."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

EXISTS = 36
#: Brokers that are starting; there is no answer to wait for but the first one.
PAUSE = 0.2


async def ensure(brokers: str, topic: str, partitions: int, patience: float) -> str:
    until = time.monotonic() + patience
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
        try:
            await admin.start()
        except KafkaConnectionError:
            await admin.close()
            if time.monotonic() > until:
                raise
            await asyncio.sleep(PAUSE)
            continue
        try:
            _, code, reason = (await admin.create_topics([NewTopic(topic, partitions, 1)])).topic_errors[0]
        finally:
            await admin.close()
        if code not in (0, EXISTS):
            raise SystemExit(f"topic {topic} cannot be created on {brokers}: {reason}")
        return "exists" if code == EXISTS else f"created with {partitions} partitions"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/topic", description=__doc__)
    parser.add_argument("topic")
    parser.add_argument("--brokers", default="127.0.0.1:9092")
    parser.add_argument("--partitions", type=int, default=3)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for a broker")
    args = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        outcome = asyncio.run(ensure(args.brokers, args.topic, args.partitions, args.patience))
    except KafkaConnectionError:
        raise SystemExit(f"no Kafka broker answers at {args.brokers}") from None
    print(f"topic {args.topic} {outcome}", file=sys.stderr)


if __name__ == "__main__":
    main()
