"""The Procfile starts everything at once, in any order."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
HONCHO = Path(sys.executable).parent / "honcho"
#: What the Procfile takes its ports from.
PORTS = ("KAFKA_PORT", "ZOOKEEPER_PORT", "WORKER_1_PORT", "WORKER_2_PORT")


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


@pytest.mark.long
async def test_honcho_brings_two_workers_with_their_clients_up_and_down(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    kafka, zookeeper, *workers = free_ports(4)
    variables = dict(zip(PORTS, map(str, (kafka, zookeeper, *workers)), strict=True))
    log = tmp_path / "honcho.log"
    honcho = start(variables, log)

    async def share() -> bool:
        """Both have partitions, and each says so of both."""
        assert honcho.poll() is None, log.read_text()
        said = [await rows(session, port) for port in workers]
        return all([bool(row["partitions"]) for row in seen] == [True, True] for seen in said)

    def came(client: str, port: int) -> bool:
        return (
            re.search(rf"{client}\.1 .*'message \d+' .* from http://127.0.0.1:{port}$", log.read_text(), re.M)
            is not None
        )

    try:
        await eventually(share, 60.0)
        await eventually(lambda: came("client_a", workers[0]) and came("client_b", workers[1]), 40.0)
    finally:
        honcho.send_signal(signal.SIGTERM)
        await asyncio.to_thread(honcho.wait, 30)
    await eventually(lambda: all(not listening(port) for port in (kafka, zookeeper, *workers)))
    for data in (f"kafka-{kafka}", f"zookeeper-{zookeeper}"):
        shutil.rmtree(ROOT / ".local/run" / data)


async def rows(session: aiohttp.ClientSession, port: int) -> list[dict[str, object]]:
    """The workers that the one at this port knows; none while it is not there."""
    try:
        async with session.get(f"http://127.0.0.1:{port}/v1/workers") as answer:
            found: list[dict[str, object]] = (await answer.json())["workers"]
            return found
    except aiohttp.ClientConnectionError:
        return []


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
