"""What each worker's own books cost as the cluster grows, in us of CPU and in bytes: roster, routes, waiting clients.

    python -m benchmarks.core_growth [--repeat 5] [--json FILE]

Medians of the repeats, by the CPU clock of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.core_worker import GENERATION, CoreWorker
from fanout_app.cluster.frames import Demand, EndDemand, Frame, State, Wish
from fanout_app.cluster.routes import Routes
from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.heartbeat_row import decode_heartbeat, encode_heartbeat
from fanout_app.core.roster import Heartbeat, Roster
from fanout_app.lease_keys import LeaseKeys, Seal

SIZES = (3, 10, 100, 1000)
WAITING = 2000


class Nowhere:
    """A worker to which frames go that nobody reads."""

    def __init__(self, name: str) -> None:
        self.name = name

    def send(self, frame: Frame) -> None:
        pass

    def drop(self) -> None:
        pass


def heartbeat(number: int) -> Heartbeat:
    return Heartbeat(
        worker=f"worker-{number:04}-0123456789ab",
        address=f"http://10.0.{number // 250}.{number % 250}:6066",
        partitions=(number,),
        generation=GENERATION,
        waiting_messages=0,
        waiting_pulls=4,
        epoch=12345,
        misses_epoch=None,
    )


def cost(do: Callable[[], object], times: int, repeat: int) -> float:
    """us of CPU that it takes once."""

    def once() -> float:
        gc.collect()
        began = time.process_time()
        for _ in range(times):
            do()
        return (time.process_time() - began) / times * 1e6

    return round(statistics.median(once() for _ in range(repeat)), 2)


def kept(make: Callable[[], object]) -> tuple[Any, int]:
    """What was made, and the bytes that it keeps."""
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return made, size


def roster(workers: int, repeat: int) -> dict[str, float]:
    """Of one that so many are heard in."""
    beats = [heartbeat(number) for number in range(workers)]

    def make() -> Roster:
        one = Roster(beats[0].worker, 3.0)
        for beat in beats:
            one.heard(0.0, beat)
        return one

    one = make()
    return {
        "heard_us": cost(lambda: one.heard(0.0, beats[-1]), 2000, repeat),
        "present_us": cost(lambda: one.present(0.0), max(20, 20000 // workers), repeat),
    }


def row(repeat: int) -> dict[str, float]:
    """One heartbeat on the board."""
    seal = Seal(LeaseKeys([b"0123456789abcdef0123456789abcdef"]), "id", "topic")
    beat = heartbeat(1)
    data = encode_heartbeat(beat, id="id", topic="topic")
    sealed = seal.of("board", b"worker/x", data)
    return {
        "bytes": len(data),
        "sealed_us": cost(lambda: seal.of("board", b"worker/x", data), 2000, repeat),
        "seal_checked_us": cost(lambda: seal.fits(sealed, "board", b"worker/x", data), 2000, repeat),
        "decoded_us": cost(lambda: decode_heartbeat(data, id="id", topic="topic"), 2000, repeat),
    }


def routes(owners: int, repeat: int) -> dict[str, float]:
    """Of a spare, with so many owners of one partition each, all of which have messages waiting."""
    dispatcher = Dispatcher(Limits(), new_batch=count().__next__, jitter=lambda: 0.5)
    peers = [Nowhere(f"w{number}") for number in range(owners)]

    def make() -> Routes:
        one = Routes(dispatcher, lambda: GENERATION)
        for number, peer in enumerate(peers):
            one._states[peer] = State((number,), GENERATION, 10)
            one._waiting[peer] = 10
        one._sort()
        return one

    one, size = kept(make)
    moved = (State((owners - 1,), GENERATION + 1, 10), State((owners - 1,), GENERATION, 10))
    turn = count()
    times = max(20, 20000 // owners)
    return {
        "bytes_per_peer": round(size / owners),
        "turn_us": cost(lambda: one.turn(0), times, repeat),
        "told_waiting_us": cost(lambda: one.told(peers[-1], State((owners - 1,), GENERATION, 11)), 2000, repeat),
        "told_moved_us": cost(lambda: one.told(peers[-1], moved[next(turn) % 2]), times, repeat),
    }


def waiting(repeat: int) -> dict[str, float]:
    """A client that waits at an owner, for another worker."""
    worker = CoreWorker("owner", [0], chance=lambda: 0.5, batches=count(1))
    peer = Nowhere("asking")
    worker.exchange.joined(peer)
    numbers = count()

    def wait(some: int) -> list[int]:
        taken = [next(numbers) for _ in range(some)]
        for number in taken:
            demand = Demand(number, f"client-{number % WAITING}", "stable", 1, 1 << 20, 30.0, False, True, Wish())
            worker.exchange.received(peer, demand)
        return taken

    def end(taken: list[int]) -> None:
        for number in taken:
            worker.exchange.received(peer, EndDemand(number))

    end(wait(WAITING))
    first, size = kept(lambda: wait(WAITING))
    end(first)
    come_and_gone = cost(lambda: end(wait(WAITING)), 1, repeat) / WAITING
    return {"bytes_per_waiting": round(size / WAITING), "come_and_gone_us": round(come_and_gone, 2)}


async def _waiting(repeat: int) -> dict[str, float]:
    return waiting(repeat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures: dict[str, Any] = {
        "about": {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "heartbeat_row": row(given.repeat),
        "roster": {size: roster(size, given.repeat) for size in SIZES},
        "routes": {size: routes(size, given.repeat) for size in SIZES},
        "waiting_elsewhere_at_an_owner": asyncio.run(_waiting(given.repeat)),
    }
    print(json.dumps(figures, indent=1))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
