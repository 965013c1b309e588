"""What heartbeats cost: bytes on the board, and CPU of a worker that has nothing else to do, by how many there are.

    python -m benchmarks.heartbeats [--workers 1,2,4] [--pretended 10,100,1000] [--seconds 30]

Real workers first, all of them ready and idle. Then one real worker among pretended ones, whose heartbeats this program
writes at their pace, sealed as theirs would be: what it costs to read them. Bytes are those of the board's log as Kafka
has it, before compaction: batches, keys and seals included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.support import ROOT, cpu_seconds, fill, stack, started
from fanout_app.core.heartbeat_row import encode_heartbeat
from fanout_app.core.roster import Heartbeat
from fanout_app.kafka.board_seal import HEADER, seal_of
from fanout_app.kafka.cluster import EVERY
from fanout_app.lease_keys import LeaseKeys, Seal

ID = "bench"
STACK = "bench-heartbeats"
PARTITIONS = 8
#: No secret: of at least 32 printable characters, as a lease key has to be.
KEY = "a-key-of-the-benchmark-and-no-secret"
RESULTS = Path(__file__).parent / "results" / "heartbeats.json"
#: Seconds after the start of the last worker: its rebalance, and what a start leaves to be done.
_SETTLES = 10.0
#: One has a single request under way at a time.
_PRODUCERS = 16


class Board:
    """The board of one topic."""

    def __init__(self, brokers: str, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._name = f"fanout_{ID}_{topic}"
        self._seal = Seal(LeaseKeys([KEY.encode()]), ID, topic)

    def sizes(self) -> dict[str, int]:
        """Bytes of each segment."""
        data = ROOT / ".local" / "stacks" / STACK / "kafka-1" / "data" / f"{self._name}-0"
        return {segment.name: segment.stat().st_size for segment in data.glob("*.log")}

    async def end(self) -> int:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._brokers, group_id=None)
        await consumer.start()
        try:
            tp = TopicPartition(self._name, 0)
            return int((await consumer.end_offsets([tp]))[tp])
        finally:
            await consumer.stop()

    async def pretend(self, workers: int, seconds: float) -> None:
        """Write these workers' heartbeats for so long. Each is a request of its own, as a worker's is."""
        async with asyncio.TaskGroup() as group:
            for first in range(_PRODUCERS):
                group.create_task(self._pretend(range(first, workers, _PRODUCERS), seconds))

    async def _pretend(self, workers: range, seconds: float) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._brokers, acks=1, max_batch_size=1)
        await producer.start()
        try:
            ends = time.monotonic() + seconds
            while (began := time.monotonic()) < ends:
                for number in workers:
                    key, row = f"worker/pretended-host-{number}-000000".encode(), self._row(number)
                    headers = [(HEADER, seal_of(self._seal, key, row))]
                    await producer.send(self._name, row, key=key, headers=headers, partition=0)
                await asyncio.sleep(max(0.0, min(ends, began + EVERY) - time.monotonic()))
        finally:
            await producer.stop()

    def _row(self, number: int) -> bytes:
        heartbeat = Heartbeat(
            worker=f"pretended-host-{number}-000000",
            address=f"http://10.0.{number // 250}.{number % 250}:6066",
            partitions=(number,),
            generation=1,
            waiting_messages=1000,
            waiting_pulls=10,
            epoch=1,
            misses_epoch=None,
        )
        return encode_heartbeat(heartbeat, id=ID, topic=self._topic)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def measure(brokers: str, key_file: Path, workers: int, pretended: int, seconds: float) -> dict[str, Any]:
    topic = f"heartbeats-{workers}-{pretended}"
    asyncio.run(fill(brokers, topic, partitions=PARTITIONS, messages=0, size=0))
    board = Board(brokers, topic)
    with ExitStack() as running:
        option = f"--lease-key-file={key_file}"
        pids = [running.enter_context(started(brokers, ID, topic, free_port(), option)) for _ in range(workers)]
        asyncio.run(board.pretend(pretended, _SETTLES))
        began, offset, sizes = time.monotonic(), asyncio.run(board.end()), board.sizes()
        cpu = sum(map(cpu_seconds, pids))
        asyncio.run(board.pretend(pretended, seconds))
        used = sum(map(cpu_seconds, pids)) - cpu
        took = time.monotonic() - began
        records, after = asyncio.run(board.end()) - offset, board.sizes()
    # Where a segment was closed meanwhile, compaction may have been at it: nothing to count by.
    written = sum(after.values()) - sum(sizes.values()) if after.keys() == sizes.keys() else None
    return {
        "workers": workers,
        "pretended": pretended,
        "records_a_second": round(records / took, 2),
        "bytes_a_record": round(written / records, 1) if written is not None else None,
        "bytes_a_second": round(written / took, 1) if written is not None else None,
        "cpu_of_one_core_a_worker": round(used / took / workers, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--pretended", default="10,100,1000")
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    cases = [(int(real), 0) for real in given.workers.split(",")] + [(1, int(n)) for n in given.pretended.split(",")]
    rows = []
    with stack(STACK) as brokers:
        key_file = ROOT / ".local" / f"{STACK}.key"
        key_file.write_text(KEY)
        for workers, pretended in cases:
            rows.append(measure(brokers, key_file, workers, pretended, given.seconds))
            print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(json.dumps({"seconds": given.seconds, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
