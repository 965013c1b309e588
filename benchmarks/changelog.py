"""What a take-over reads of the changelog after a million group commits: bytes, and the seconds until it is through.

    python -m benchmarks.changelog [--commits 1000000] [--offsets 20] [--rate 2000000] [--standbys 0] [--json FILE]

Two workers, one partition. A script writes rows of the first one's as if it had committed so often, no faster than
``--rate`` bytes a second, which is what group commits aim at. Each row is as long as one in a batch of its own, as
group commits are. Then the owner is told to stop, and the other one takes over. With ``--standbys 1`` that one follows
the changelog all the time, as Faust's default is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from benchmarks.support import ROOT, cpu_seconds, fill, stack, started
from fanout_app import faust_app
from fanout_app.__main__ import main as run
from fanout_app.core.ledger import PartitionLedger
from fanout_app.core.ledger_row import encode_row
from fanout_app.kafka.consumer_driver import ConsumerDriver
from fanout_app.kafka.ledger_table import row_key

PORT = 6300
GENERATION = 2
#: Bytes that a batch of Kafka takes for itself (record batch, version 2), of which a group commit has one a row.
BATCH = 61
ALLOWED = 64 << 20
WITHIN = 120.0


def row(id: str, topic: str, counter: int, offsets: int) -> bytes:
    """One with so many offsets settled above the floor, each with a gap before it."""
    ledger = PartitionLedger()
    for number in range(offsets):
        ledger.settle_range(2 * number + 1, 2 * number + 2)
    return encode_row(ledger.snapshot(), id=id, topic=topic, generation=GENERATION, counter=counter)


async def write(brokers: str, changelog: str, rows: list[bytes], commits: int, rate: float) -> float:
    """Write so many; returns the bytes that they would take as group commits."""
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers, linger_ms=5, max_batch_size=1 << 18, max_request_size=4 << 20
    )
    await producer.start()
    key = row_key(0, GENERATION)
    began, written = time.monotonic(), 0
    try:
        for number in range(commits):
            value = rows[number % len(rows)]
            # A header of ours makes up for the batch that they share here.
            await producer.send(changelog, value, key=key, partition=0, headers=[("", bytes(BATCH))])
            written += len(value) + len(key) + BATCH
            if number % 200 == 0 and (ahead := written / rate - (time.monotonic() - began)) > 0:
                await asyncio.sleep(ahead)
    finally:
        await producer.stop()
    return written


def size(stack_name: str, changelog: str) -> int:
    """Bytes of the partition's log: what reading it from its start reads."""
    folder = ROOT / ".local" / "stacks" / stack_name / "kafka-1" / "data" / f"{changelog}-0"
    return sum(segment.stat().st_size for segment in folder.glob("*.log"))


def owns(port: int) -> bool:
    me = get(port, "/v1/status")["worker"]
    return any(partition["owner"] == me for partition in get(port, "/v1/partitions")["partitions"])


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


def measure(name: str, brokers: str, args: argparse.Namespace) -> dict[str, Any]:
    id, topic = "changelog", f"changelog-{time.time_ns()}"
    changelog = f"fanout_{id}_{topic}-ledgers-changelog"
    asyncio.run(fill(brokers, topic, partitions=1, messages=max(1000, 3 * args.offsets), size=10))
    program = [sys.executable, "-m", "benchmarks.changelog", "--worker", "--standbys", str(args.standbys), "--"]
    with (
        started(brokers, id, topic, PORT, program=program) as first,
        started(brokers, id, topic, PORT + 1, program=program) as second,
    ):
        rows = [row(id, topic, counter, args.offsets) for counter in range(100)]
        owner, heir, heirs_port = (first, second, PORT + 1) if owns(PORT) else (second, first, PORT)
        began, cpu = time.monotonic(), cpu_seconds(heir)
        written = asyncio.run(write(brokers, changelog, rows, args.commits, args.rate))
        took, cpu = time.monotonic() - began, cpu_seconds(heir) - cpu
        read = size(name, changelog)
        at = time.monotonic()
        os.kill(owner, signal.SIGTERM)
        while not owns(heirs_port):
            if time.monotonic() - at > WITHIN:
                raise TimeoutError("nobody has taken over")
            time.sleep(0.02)
        seconds = time.monotonic() - at
    return {
        "standbys": args.standbys,
        "commits": args.commits,
        "row_bytes": len(rows[0]),
        "written_bytes": int(written),
        "write_s": round(took, 1),
        "log_bytes": read,
        "heir_cpu_us_a_commit": round(cpu / args.commits * 1e6, 1),
        "take_over_s": round(seconds, 2),
    }


def worker(standbys: int, options: list[str]) -> None:
    """A worker with so many of Faust's replicas, which follow the changelog of whoever owns it."""
    if standbys:
        settings = vars(faust_app)["settings"]
        vars(faust_app)["settings"] = lambda *args: {**settings(*args), "table_standby_replicas": standbys}
        setattr(ConsumerDriver, "_leave_alone", staticmethod(lambda *_: None))  # noqa: B010
    sys.argv = ["fanout", *options]
    run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=1_000_000)
    parser.add_argument("--offsets", type=int, default=20, help="settled above the floor, which makes rows long")
    parser.add_argument("--rate", type=float, default=2e6, help="bytes of rows a second")
    parser.add_argument("--standbys", type=int, default=0, help="as fanout would not have them: Faust's replicas")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("options", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.standbys, args.options)
        return
    name = f"changelog-{os.getpid()}"
    with stack(name) as brokers:
        figures = measure(name, brokers, args)
    mib = {name: figures[name] / 2**20 for name in ("written_bytes", "log_bytes")}
    print(
        f"{figures['commits']:,} commits of {figures['row_bytes']} bytes, {mib['written_bytes']:.0f} MiB in "
        f"{figures['write_s']} s: a take-over reads {mib['log_bytes']:.1f} MiB of a partition and takes "
        f"{figures['take_over_s']} s; with {args.standbys} standbys the worker that took over had used "
        f"{figures['heir_cpu_us_a_commit']} us of CPU a commit"
    )
    if args.json:
        about = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()}
        args.json.write_text(json.dumps({"about": about, **figures}, indent=1) + "\n")
    sys.exit(figures["log_bytes"] > ALLOWED)


if __name__ == "__main__":
    main()
