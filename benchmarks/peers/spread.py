"""Waits until each of several fanout workers owns partitions: a worker is ready before, as a spare."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from typing import Any

#: Seconds; a rebalance takes less than one on a machine that has time for it.
PATIENCE = 30.0


async def spread(ports: list[int]) -> None:
    """Returns when the first worker sees partitions at every one. Raises TimeoutError."""
    until = time.monotonic() + PATIENCE
    while not all(owned := await asyncio.to_thread(_owned, ports)):
        if time.monotonic() > until:
            raise TimeoutError(f"partitions of the workers: {owned}")
        await asyncio.sleep(0.1)


def _owned(ports: list[int]) -> list[list[int]]:
    """By the port, in that order; empty for one that is not seen yet."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/v1/workers", timeout=5) as answer:
        rows: list[dict[str, Any]] = json.load(answer)["workers"]
    partitions = {int(row["address"].rpartition(":")[2]): row["partitions"] for row in rows}
    return [partitions.get(port, []) for port in ports]
