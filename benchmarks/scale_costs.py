"""What one worker costs the servers and itself as the cluster grows, with real servers and real workers.

    python -m benchmarks.scale_costs [zookeeper|changelog] [--rounds 3] [--json FILE]

zookeeper  requests a second of a leader, of a follower and of an owner that acks; those of a start, by queue length
changelog  bytes and CPU for an ack, by the number of gaps that stay open below it

Every figure is the median of the rounds; what it is compared with runs in the same round. What heartbeats cost is in
`benchmarks.heartbeats`, what connections cost in `benchmarks.scale_links`, and what a client costs that asks another
worker than the owner is the workload forward of `bin/bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from aiokafka import AIOKafkaProducer
from kazoo.client import KazooClient

from benchmarks.clients import Load, Puller, get
from benchmarks.support import ROOT, cpu_seconds, fill, started

PORT = 6401
ELSEWHERE = 6402
SECONDS = 10.0
PARTITIONS = 16
ACKS = 2000
Figures = dict[str, float]


@dataclass(frozen=True)
class Servers:
    brokers: str
    zookeepers: str
    folder: Path

    def bytes_of(self, topic: str) -> int:
        """What the broker has kept of a topic so far, in all its segments."""
        return sum(file.stat().st_size for file in self.folder.glob(f"kafka-*/data/{topic}-[0-9]*/*.log"))

    def zookeeper_requests(self) -> int:
        """How many the server has received, from anybody; one more for this question."""
        host, _, port = self.zookeepers.partition(":")
        with socket.create_connection((host, int(port)), timeout=5) as asking:
            asking.sendall(b"mntr")
            text = b"".join(iter(lambda: asking.recv(65536), b"")).decode()
        return int(next(line.split("\t")[1] for line in text.splitlines() if line.startswith("zk_packets_received")))


@contextmanager
def servers(name: str) -> Iterator[Servers]:
    """A Kafka and a ZooKeeper of our own."""
    command = [str(ROOT / "bin/stack")]
    up = subprocess.run([*command, "up", "--name", name, "--json"], check=True, capture_output=True, text=True)
    said = json.loads(up.stdout)
    try:
        yield Servers(said["brokers"], said["zookeepers"], ROOT / ".local" / "stacks" / name)
    finally:
        subprocess.run([*command, "down", "--name", name], check=True, capture_output=True)


def medians(runs: Sequence[Figures]) -> Figures:
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}


# ZooKeeper -----------------------------------------------------------------------------------------------------------


def requests_per_s(one: Servers, seconds: float = SECONDS) -> float:
    before, began = one.zookeeper_requests(), time.monotonic()
    time.sleep(seconds)
    return (one.zookeeper_requests() - before - 1) / (time.monotonic() - began)


def zookeeper(one: Servers, rounds: int) -> dict[str, Figures]:
    asyncio.run(fill(one.brokers, "zk", partitions=PARTITIONS, messages=0, size=0))
    runs: list[Figures] = []
    for turn in range(rounds):
        id, options = f"zk-{turn}", ("--zookeepers", one.zookeepers)
        with started(one.brokers, id, "zk", PORT, *options):
            time.sleep(3.0)
            figures = {"leader_per_s": requests_per_s(one)}
            loading = Thread(target=asyncio.run, args=(ack_a_little(one.brokers, SECONDS + 4),))
            loading.start()
            time.sleep(3.0)
            figures["leader_acking_on_16_partitions_per_s"] = requests_per_s(one, SECONDS - 2)
            loading.join()
            with started(one.brokers, id, "zk", ELSEWHERE, *options):
                time.sleep(3.0)
                figures["leader_and_follower_per_s"] = requests_per_s(one)
        for queue in (0, 10, 100, 1000):
            figures |= start_behind(one, f"zk-{turn}-{queue}", queue)
        runs.append(figures)
        print("zookeeper", figures, flush=True)
    return {"requests": medians(runs)}


async def ack_a_little(brokers: str, seconds: float) -> None:
    """A message of each partition five times a second, taken and acked: every floor moves all the time."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    await producer.start()
    puller, until = await Puller.connect(PORT, "a little"), time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            for partition in range(PARTITIONS):
                await producer.send("zk", b"x", partition=partition)
            await asyncio.sleep(0.2)
            answer = await puller.pull(1000, wait_ms=100)
            if answer["messages"]:
                await puller.settle(ack=[answer["batch"]])
    finally:
        await producer.stop()


def start_behind(one: Servers, id: str, queue: int) -> Figures:
    """What a worker's start asks of ZooKeeper where so many queue for the lock already."""
    client = KazooClient(one.zookeepers)
    client.start()
    path = f"/fanout/{id}/zk/leader"
    client.ensure_path(path)
    for number in range(queue):
        client.create(f"{path}/{number:032x}__lock__", b"another", ephemeral=True, sequence=True)
    before, began = one.zookeeper_requests(), time.monotonic()
    with started(one.brokers, id, "zk", PORT, "--zookeepers", one.zookeepers):
        while len(client.get_children(path)) <= queue:
            time.sleep(0.05)
        seconds = time.monotonic() - began
        # Every look of ours at the queue, about one in 50 ms from when the worker was ready, is in it.
        requests = one.zookeeper_requests() - before - 1
    client.stop()
    client.close()
    return {f"start_behind_{queue}": requests, f"start_behind_{queue}_s": seconds}


# Changelog -----------------------------------------------------------------------------------------------------------


def changelog(one: Servers, rounds: int) -> dict[str, Figures]:
    runs: dict[int, list[Figures]] = {gaps: [] for gaps in (0, 1000, 10_000, 100_000)}
    for gaps in runs:
        asyncio.run(fill(one.brokers, f"acks-{gaps}", partitions=1, messages=2 * gaps + ACKS, size=100))
    options = ("--max-ack-pending", "1000000", "--client-limit", "1000000", "--buffer-bytes", "4GiB")
    for turn in range(rounds):
        for gaps, done in runs.items():
            id, topic = f"turn-{turn}", f"acks-{gaps}"
            with started(one.brokers, id, topic, PORT, *options) as worker:
                done.append(asyncio.run(acks(one, f"fanout_{id}_{topic}-ledgers-changelog", worker, gaps)))
            print("changelog", gaps, done[-1], flush=True)
    return {str(gaps): medians(done) for gaps, done in runs.items()}


async def acks(one: Servers, topic: str, pid: int, gaps: int) -> Figures:
    """Single acks by four clients, one after the other each, above so many open gaps."""
    holder = await Puller.connect(PORT, "holder")
    taken = 0
    while taken < 2 * gaps:
        messages = (await holder.pull(min(500, 2 * gaps - taken), ack_wait_ms=600_000))["messages"]
        await holder.settle(ack=[message["lease"] for message in messages if message["offset"] % 2])
        taken += len(messages)
    load = Load(PORT, clients=4, batch=1)
    cpu, size = cpu_seconds(pid), one.bytes_of(topic)
    await load.drain(ACKS)
    row = (await get(PORT, "/v1/partitions"))["partitions"][0]
    return {
        "row_bytes": row["row_bytes"],
        "acks_per_s": load.acked / load.seconds,
        "changelog_bytes_per_s": (one.bytes_of(topic) - size) / load.seconds,
        "changelog_bytes_per_ack": (one.bytes_of(topic) - size) / load.acked,
        "cpu_us_per_message": (cpu_seconds(pid) - cpu) / load.acked * 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"zookeeper": zookeeper, "changelog": changelog}
    parser.add_argument("parts", nargs="*", default=list(parts))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    with servers(f"scale-{os.getpid()}") as one:
        for part in given.parts:
            load = os.getloadavg()[0]
            figures[part] = {"load": [round(load, 1)], **parts[part](one, given.rounds)}
            figures[part]["load"].append(round(os.getloadavg()[0], 1))
            print(json.dumps({part: figures[part]}, indent=1), flush=True)
    figures["about"] = {"python": platform.python_version(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
