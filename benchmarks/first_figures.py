"""Delivered and durably acked messages a second, beside a bare aiokafka consumer in the same run.

    python -m benchmarks.first_figures [--messages 300000] [--batch 500] [--clients 4] [--repeat 3] [--json FILE]

Every pull carries the ack of the batch before it, and is answered only when Kafka has the ledger rows (acks=all).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer

from benchmarks.support import cpu_seconds, fill, post, stack, worker

PARTITIONS = 4
SIZE = 100
PORT = 6190


async def bare(brokers: str, topic: str, messages: int) -> dict[str, float]:
    """What the Kafka client alone does: a consumer group that takes whole fetches and commits at the end."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=brokers, group_id=f"bare-{time.time_ns()}", auto_offset_reset="earliest",
        enable_auto_commit=False,
    )  # fmt: skip
    await consumer.start()
    try:
        seen, began = 0, 0.0
        while seen < messages:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                began = began or time.monotonic()
                seen += len(records)
        await consumer.commit()
        return {"rate": messages / (time.monotonic() - began)}
    finally:
        await consumer.stop()


async def drain(messages: int, batch: int, clients: int, accept: str) -> int:
    """Pull and ack everything; returns how many messages were acked."""
    acked = 0
    batch_token = re.compile(rb'"batch":"([^"]+)"')

    async def client(name: str) -> None:
        nonlocal acked
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=1 << 24)
        settle = b""
        while acked < messages:
            body = b'{"client":"%b","max_messages":%d,"wait_ms":300%b}' % (name.encode(), batch, settle)
            status, answer = await post(reader, writer, "/v1/pull", body)
            if status not in (200, 204):
                raise RuntimeError(f"{status}: {answer[:300]!r}")
            if settle:
                counted = re.search(rb'"acked":(\d+)', answer)
                acked += int(counted[1]) if counted else 0
            token = batch_token.search(answer)
            settle = b',"settle":{"ack":["%b"]}' % token[1] if token else b""
        writer.close()

    await asyncio.gather(*(client(f"c{number}") for number in range(clients)))
    return acked


def measured_drain(brokers: str, topic: str, messages: int, batch: int, clients: int) -> dict[str, float]:
    with worker(brokers, f"bench{time.time_ns()}", topic, PORT) as pid:
        before, began = cpu_seconds(pid), time.monotonic()
        load = subprocess.run(
            [sys.executable, "-m", "benchmarks.first_figures", "--load", str(messages), "--batch", str(batch),
             "--clients", str(clients)],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        took = float(load.stdout)
        cpu = cpu_seconds(pid) - before
        del began
    return {"rate": messages / took, "cpu_us": cpu / messages * 1e6}


def load(messages: int, batch: int, clients: int) -> None:
    """The clients, in a process of their own; prints the seconds from the first pull to the last ack."""
    import uvloop

    began = time.monotonic()
    acked = uvloop.run(drain(messages, batch, clients, "application/json"))
    if acked != messages:
        raise RuntimeError(f"{acked} of {messages} acked")
    print(time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--load", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.load:
        load(args.load, args.batch, args.clients)
        return
    rows: list[dict[str, Any]] = []
    with stack("bench") as brokers:
        topic = f"bench-{time.time_ns()}"
        asyncio.run(fill(brokers, topic, partitions=PARTITIONS, messages=args.messages, size=SIZE))
        for number in range(args.repeat):
            base = asyncio.run(bare(brokers, topic, args.messages))
            ours = measured_drain(brokers, topic, args.messages, args.batch, args.clients)
            rows.append({"bare_rate": base["rate"], **ours, "ratio": ours["rate"] / base["rate"]})
            print(f"run {number + 1}: fanout {ours['rate']:,.0f}/s, bare {base['rate']:,.0f}/s", file=sys.stderr)
    medians = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    print(
        f"fanout, {args.clients} clients, batches of {args.batch}, durable acks: {medians['rate']:,.0f} messages/s, "
        f"{medians['cpu_us']:.1f} us of CPU a message in the worker\n"
        f"bare aiokafka consumer group:    {medians['bare_rate']:,.0f} messages/s\n"
        f"ratio {medians['ratio']:.3f} (medians of {args.repeat}; {os.cpu_count()} cores shared by broker, worker and "
        "clients)"
    )
    if args.json:
        about = {"python": platform.python_version(), "cores": os.cpu_count(), "arguments": vars(args) | {"json": None}}
        args.json.write_text(json.dumps({"about": about, "runs": rows, "medians": medians}, indent=1) + "\n")


if __name__ == "__main__":
    main()
