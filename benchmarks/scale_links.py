"""What connections between workers cost: one process is a worker, another one all the others, joined by real sockets.

    python -m benchmarks.scale_links [--peers 10,100,1000] [--rounds 3] [--json FILE]

Of the one worker: memory a link, CPU of idle links (each end sends a ping every 2 s), and CPU for a client that waits
at all the others and is told that there is nothing; beside it what the others use for that, each. And what it takes to
tell them all how many messages wait, at either end.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import ClientError, ClientSession, TCPConnector, web

from benchmarks.core_worker import GENERATION, CoreWorker
from benchmarks.support import cpu_seconds, rss_bytes
from fanout_app.cluster.frames import State
from fanout_app.lease_keys import LeaseKeys, Seal
from fanout_app.peers.handshake import LINK, SEAL_HEADER, Handshake
from fanout_app.peers.link import HEARTBEAT, Link
from fanout_app.peers.mesh import Mesh

ONE = "one"
IDLE_FOR = 12.0
WAITS = 20
CALLS = 20
CALL_AGAIN = 0.5
#: As often as a busy worker tells the others how many messages wait at it.
TELLS, TELL_EVERY = 20, 0.2
Figures = dict[str, float]


def handshake(name: str) -> Handshake:
    return Handshake(Seal(LeaseKeys([b"0123456789abcdef0123456789abcdef"]), "id", "topic"), name)


async def others(port: int, number: int) -> None:
    """So many owners of a partition each, every one with a connection to the one worker. Runs until killed."""
    batches = count(1)
    # All of them in one process: called at once they would keep it too busy to answer each other's pings.
    at_once = asyncio.Semaphore(CALLS)
    async with ClientSession(connector=TCPConnector(limit=0)) as session:

        async def call(worker: CoreWorker) -> None:
            path, seal = handshake(worker.name).call(ONE)
            async with at_once:
                socket = await session.ws_connect(
                    f"http://127.0.0.1:{port}{path}", headers={SEAL_HEADER: seal}, heartbeat=HEARTBEAT, max_msg_size=0
                )
                await socket.receive_bytes()
            async with socket:
                await Link(ONE, socket).run(worker.exchange)

        async def stay(at: int) -> None:
            worker = CoreWorker(f"other-{at}", [at], chance=lambda: 0.5, batches=batches)
            worker.exchange.tell()
            while True:
                with suppress(ClientError, TimeoutError, TypeError):
                    await call(worker)
                await asyncio.sleep(CALL_AGAIN)

        await asyncio.gather(*(stay(at) for at in range(number)))


async def one(peers: list[int], rounds: int) -> dict[str, Any]:
    """The worker that is measured: this process."""
    worker = CoreWorker(ONE, [], chance=lambda: 0.5, batches=count(1))
    mesh = Mesh(ONE, handshake(ONE), worker.exchange, dict, worker.tasks)
    app = web.Application()
    app.router.add_get(LINK, mesh.accept)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = int(runner.addresses[0][1])
    rows: dict[str, Any] = {}
    for number in peers:
        runs = [await measured(worker, port, number) for _ in range(rounds)]
        row = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        # Later rounds find memory that earlier ones have left.
        row["kib_per_link"] = max(run["kib_per_link"] for run in runs)
        rows[str(number)] = {name: round(figure, 3) for name, figure in row.items()}
        print(number, rows[str(number)], file=sys.stderr, flush=True)
    await runner.cleanup()
    return rows


async def measured(worker: CoreWorker, port: int, number: int) -> Figures:
    gc.collect()
    before, alone = rss_bytes(os.getpid()), await idle()
    command = [sys.executable, "-m", "benchmarks.scale_links", "--others", str(number), "--port", str(port)]
    process = await asyncio.to_thread(subprocess.Popen, command)
    try:
        await until(lambda: len(worker.exchange.routes.owners()) == number)
        gc.collect()
        joined = rss_bytes(os.getpid())
        with_links = await idle()
        here, there = time.process_time(), cpu_seconds(process.pid)
        for at in range(WAITS):
            assert await worker.pull(f"client-{at}", wait=0.02) is None
        here, there = time.process_time() - here, cpu_seconds(process.pid) - there
        told, heard = time.process_time(), cpu_seconds(process.pid)
        for at in range(TELLS):
            for peer in worker.exchange.peers:
                peer.send(State((), GENERATION, at))
            await asyncio.sleep(TELL_EVERY)
        await asyncio.sleep(HEARTBEAT)
        told, heard = time.process_time() - told, cpu_seconds(process.pid) - heard
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
    await until(lambda: not worker.exchange.peers)
    return {
        "kib_per_link": (joined - before) / number / 1024,
        "idle_cpu_percent": 100 * with_links,
        "idle_cpu_percent_without": 100 * alone,
        "idle_us_per_link_s": (with_links - alone) / number * 1e6,
        "wait_in_vain_us": here / WAITS * 1e6,
        "wait_in_vain_us_per_owner": here / WAITS / number * 1e6,
        "wait_in_vain_us_at_each_owner": there / WAITS / number * 1e6,
        "state_sent_us": told / TELLS / number * 1e6,
        "state_received_us": heard / TELLS / number * 1e6,
    }


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - nobody is there to set an event
        await asyncio.sleep(0.05)


async def idle() -> float:
    """CPU of this process while nothing happens, as a share of one."""
    began, cpu = time.monotonic(), time.process_time()
    await asyncio.sleep(IDLE_FOR)
    return (time.process_time() - cpu) / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="10,100,1000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--others", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.others:
        uvloop.run(others(given.port, given.others))
        return
    load = os.getloadavg()[0]
    rows = uvloop.run(one([int(number) for number in given.peers.split(",")], given.rounds))
    about = {"python": platform.python_version(), "cores": os.cpu_count(), "load": [load, os.getloadavg()[0]]}
    figures = {"about": {**about, "date": time.strftime("%Y-%m-%d")}, "peers": rows}
    print(json.dumps(figures, indent=1))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
