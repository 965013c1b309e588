"""The core of 3 to 1,000 workers, in virtual time: what grows how, without sockets, Kafka or ZooKeeper.

    python -m benchmarks.simulation [clusters|vote] [--seed 1] [--workers 3,10,100,1000] [--json FOLDER]

Shares and counts come out the same on any machine for the same seed. Nothing here takes CPU time in the simulation:
what the same work costs is measured by `benchmarks.core_growth` and `benchmarks.scale_costs`.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Container, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import virtual_time
from benchmarks.simulated_cluster import FASTEST, SLOWEST, Plan, simulate
from benchmarks.simulated_vote import Rules, simulate_vote

#: Of what the clients could work on; None: all messages are there from the start.
LOADS = (0.2, 0.5, 0.8, None)


def plans(seed: int) -> Iterator[Plan]:
    """The same work for each client; owners of one partition each, the rest are spares."""
    for workers, owners, clients, messages in (
        (3, 3, 12, 6000),
        (10, 10, 40, 8000),
        (100, 10, 400, 16000),
        # Fewer clients, since each of them waits at a hundred workers.
        (100, 100, 100, 4000),
    ):
        for load in LOADS:
            yield Plan(workers, owners, clients, load, messages, seed)
        if owners <= 10:
            # Work that takes long beside the way between two workers.
            yield Plan(workers, owners, clients, 0.8, messages, seed, work=0.2)
    yield Plan(1000, 10, 1000, 0.5, 20000, seed)
    yield Plan(1000, 10, 1000, 0.8, 20000, seed)
    yield Plan(1000, 100, 1000, 0.5, 5000, seed)


def clusters(seed: int, sizes: Container[int]) -> list[dict[str, Any]]:
    rows = []
    for plan in plans(seed):
        if plan.workers in sizes:
            rows.append(virtual_time.run(simulate(plan)))
            print(rows[-1], flush=True)
            gc.collect()
    return rows


def votes(seed: int, sizes: Container[int]) -> list[dict[str, Any]]:
    rows = []
    for workers in (3, 10, 100, 1000):
        if workers in sizes:
            rows.append(simulate_vote(workers, seed))
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["clusters", "vote"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", default="3,10,100,1000")
    parser.add_argument("--json", type=Path, help="folder to write simulated_*.json to")
    given = parser.parse_args()
    sizes = {int(size) for size in given.workers.split(",")}
    about = {
        "clusters": {"way_s": [FASTEST, SLOWEST], "seed": given.seed},
        "vote": {**asdict(Rules()), "seed": given.seed},
    }
    for part in given.parts:
        rows = {"clusters": clusters, "vote": votes}[part](given.seed, sizes)
        if given.json:
            text = json.dumps({"about": about[part], "rows": rows}, indent=1)
            (given.json / f"simulated_{part}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
