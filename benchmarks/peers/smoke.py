"""One small drain through one system, to see that it works: `python -m benchmarks.peers.smoke NAME`.

The figures are of one short run, in which the virtual machines are not warm; they compare nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.every import SYSTEMS
from benchmarks.peers.system import Drain, System

#: The largest batches that there are, for those that have a limit.
BATCHES = {"kafka-pixy": 1, "empty-aiohttp": 1, "elasticmq": 10}


async def smoke(system: System, workload: Drain) -> None:
    """Print what the run came to as JSON."""
    with tempfile.TemporaryDirectory() as where:
        try:
            await system.start(Path(where))
            await system.fill("smoke", messages=workload.messages, size=workload.size, partitions=workload.partitions)
            run = await system.drain("smoke", workload)
            said = {"system": system.name, "rate": round(run.rate), **asdict(run), "versions": dict(system.versions())}
            print(json.dumps(said, indent=1))
        finally:
            await system.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--batch", type=int, help="default: 500, or the most that the system does")
    parser.add_argument("--apart", action="store_true", help="acks by requests of their own")
    given = parser.parse_args()
    batch = given.batch or BATCHES.get(given.system, 500)
    workload = Drain(given.messages, given.size, 4, given.clients, batch, riding=not given.apart)
    asyncio.run(smoke(SYSTEMS[given.system](), workload))


if __name__ == "__main__":
    main()
