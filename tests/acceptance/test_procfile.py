"""The Procfile starts everything at once, in any order."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp

from support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
HONCHO = Path(sys.executable).parent / "honcho"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(held.getsockname()[1]) for held in sockets]
    for held in sockets:
        held.close()
    return ports


def start(variables: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [HONCHO, "start"], cwd=ROOT, env={**os.environ, **variables}, stdout=output, stderr=subprocess.STDOUT
        )


async def test_honcho_brings_kafka_zookeeper_and_a_worker_up_and_down(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    kafka, zookeeper, http = free_ports(3)
    address = f"127.0.0.1:{http}"
    variables = {"KAFKA_PORT": str(kafka), "ZOOKEEPER_PORT": str(zookeeper), "FANOUT_BIND": address}
    log = tmp_path / "honcho.log"
    honcho = start(variables, log)

    async def ready() -> bool:
        assert honcho.poll() is None, log.read_text()
        try:
            async with session.get(f"http://{address}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    try:
        await eventually(ready, 40.0)
        honcho.send_signal(signal.SIGTERM)
        await asyncio.to_thread(honcho.wait, 30)
    finally:
        if honcho.poll() is None:
            honcho.kill()
            honcho.wait()
    await eventually(lambda: all(not listening(port) for port in (kafka, zookeeper, http)))
    for data in (f"kafka-{kafka}", f"zookeeper-{zookeeper}"):
        shutil.rmtree(ROOT / ".local/run" / data)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
