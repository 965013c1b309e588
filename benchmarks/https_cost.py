"""What HTTPS costs: a topic is drained by HTTP and by HTTPS in turn, each time by a worker of its own.

    python -m benchmarks.https_cost [--rounds 3]

The ratio is taken within each round. Worker, broker and clients share the machine, so that what the clients do for TLS
is in it as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import trustme

from benchmarks.peers.kafka_stack import KafkaStack
from benchmarks.peers.processes import load_generator
from benchmarks.support import BIN

PARTITIONS = 4
SIZE = 100


class Case(NamedTuple):
    """How it is drained."""

    messages: int
    clients: int
    batch: int


CASES = {"500 a pull, 4 clients": Case(300_000, 4, 500), "one a pull, 32 connections": Case(20_000, 32, 1)}


class Certificate(NamedTuple):
    """Files."""

    ca: str
    cert: str
    key: str


def issued(folder: Path) -> Certificate:
    ca = trustme.CA()
    one = ca.issue_cert("localhost", "127.0.0.1")
    files = Certificate(*(str(folder / name) for name in ("ca.pem", "cert.pem", "key.pem")))
    ca.cert_pem.write_to_path(files.ca)
    one.cert_chain_pems[0].write_to_path(files.cert)
    one.private_key_pem.write_to_path(files.key)
    return files


@contextmanager
def worker(brokers: str, topic: str, tls: Certificate | None) -> Iterator[tuple[str, int]]:
    """Its address and its process id; a new id each time, for which nothing is settled."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = ["--tls-cert", tls.cert, "--tls-key", tls.key] if tls else []
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    trust = ssl.create_default_context(cafile=tls.ca) if tls else None
    command = [str(BIN / "fanout"), "--id", f"b{time.time_ns()}", "--topic", topic, "--brokers", brokers]
    process = subprocess.Popen([*command, "--bind", f"127.0.0.1:{port}", *given], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=1, context=trust):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        else:
            raise RuntimeError(f"no worker answers at {url} within 30 s: {' '.join(command)}")
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(20)


def drained(load: Path, brokers: str, topic: str, case: Case, tls: Certificate | None) -> tuple[float, float]:
    """Messages a second, and microseconds of the worker's CPU for one."""
    with worker(brokers, topic, tls) as (url, pid):
        command = [
            str(load), "drain", "-urls", url, "-messages", str(case.messages), "-clients", str(case.clients),
            "-batch", str(case.batch), "-pids", f"server={pid}",
        ]  # fmt: skip
        environment = {**os.environ, **({"SSL_CERT_FILE": tls.ca} if tls else {})}
        said: dict[str, Any] = json.loads(
            subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
        )
    return said["messages"] / said["seconds"], 1e6 * said["cpu"]["server"] / said["messages"]


async def measure(rounds: int, folder: Path) -> None:
    load, kafka, tls = await load_generator(), KafkaStack(), issued(folder)
    try:
        await kafka.start()
        for number, (name, case) in enumerate(CASES.items()):
            topic = f"https{number}"
            await kafka.fill(topic, messages=case.messages, size=SIZE, partitions=PARTITIONS)
            found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
            for turn in range(rounds):
                # Each round begins with the other one.
                for secure in (False, True) if turn % 2 == 0 else (True, False):
                    found[secure].append(drained(load, kafka.brokers, topic, case, tls if secure else None))
            for secure, runs in found.items():
                rate, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
                print(f"{name}, {'HTTPS' if secure else 'HTTP'}: {rate:,.0f} msg/s, {cpu:.1f} us of the worker's CPU")
            for at, what in enumerate(("messages a second", "CPU a message")):
                ratios = sorted(secure[at] / plain[at] for plain, secure in zip(found[False], found[True], strict=True))
                each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
                print(f"{name}: {what}, HTTPS to HTTP: {statistics.median(ratios):.2f} ({each})", flush=True)
    finally:
        await kafka.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(rounds, Path(folder)))


if __name__ == "__main__":
    main()
