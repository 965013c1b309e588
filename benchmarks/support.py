"""What the measurements share: a stack, a filled topic, a worker process, CPU seconds."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@contextmanager
def stack(name: str) -> Iterator[str]:
    """A Kafka and a ZooKeeper of our own; yields the broker's address."""
    up = subprocess.run(
        [ROOT / "bin/stack", "up", "--name", name, "--json"], check=True, capture_output=True, text=True
    )
    try:
        yield json.loads(up.stdout)["brokers"]
    finally:
        subprocess.run([ROOT / "bin/stack", "down", "--name", name], check=True, capture_output=True)


async def fill(brokers: str, topic: str, *, partitions: int, messages: int, size: int) -> None:
    """Make a topic and fill its partitions evenly."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=brokers, linger_ms=20, max_batch_size=1 << 18)
    await producer.start()
    try:
        value = bytes(size)
        for number in range(messages):
            await producer.send(topic, value, partition=number % partitions)
            if number % 100_000 == 0:
                print(f"\rproducing {number:,} of {messages:,}", end="", file=sys.stderr, flush=True)
    finally:
        await producer.stop()
        print(f"\rproduced {messages:,} messages of {size} bytes      ", file=sys.stderr)


def cpu_seconds(pid: int) -> float:
    """User and system time a process has used so far, of all its threads, to the nanosecond.

    Linux names the CPU clock of another process by its id, as clock_getcpuclockid(3) does: the complement of the id
    above three bits that say which clock. The ticks of /proc are 10 ms, too coarse for a run of a second.
    """
    whole_process_scheduled = 2
    return time.clock_gettime((~pid << 3) | whole_process_scheduled)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def started(
    brokers: str, id: str, topic: str, port: int, *options: str, program: Sequence[str] = (str(BIN / "fanout"),)
) -> Iterator[int]:
    """A fanout worker, ready; yields its process id. Ended at the end if it was not before."""
    command = [*program, "--id", id, "--topic", topic, "--brokers", brokers]
    process = subprocess.Popen([*command, "--bind", f"127.0.0.1:{port}", *options])
    try:
        wait_until_ready(port, process)
        yield process.pid
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


def wait_until_ready(port: int, process: subprocess.Popen[bytes], deadline: float = 30.0) -> None:
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the worker ended with {process.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise TimeoutError("the worker is not ready")


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes) -> tuple[int, bytes]:
    """One request on a kept connection: as little of a client as will do, since its CPU is the server's too."""
    return await request(reader, writer, "POST", path, body)


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, body: bytes
) -> tuple[int, bytes]:
    """Its status, and the body of the answer."""
    writer.write(
        b"%b %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
        % (method.encode(), path.encode(), len(body), body)
    )
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, content = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(content)
    return status, await reader.readexactly(length) if length else b""
