"""The clients of `aiokafka_group`, in a process of their own; prints a report as JSON.

python -m benchmarks.peers.aiokafka_client BROKERS TOPIC MESSAGES PIDS
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from aiokafka import AIOKafkaConsumer

from benchmarks.peers.arrivals import Arrivals


async def drain(brokers: str, topic: str, messages: int, pids: str) -> Arrivals:
    """Whole fetches, as they come, and one commit when all is there."""
    arrivals = Arrivals(pids)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id=f"bench-{time.time_ns()}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        while len(arrivals) < messages:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                arrivals.got([record.value for record in records])
        await consumer.commit()
        arrivals.acked()
    finally:
        await consumer.stop()
    return arrivals


def main() -> None:
    import uvloop

    brokers, topic, messages, pids = sys.argv[1:]
    report = uvloop.run(asyncio.wait_for(drain(brokers, topic, int(messages), pids), 300)).report()
    print(json.dumps(report and report.to_json()))


if __name__ == "__main__":
    main()
