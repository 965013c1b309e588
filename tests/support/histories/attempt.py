"""One plan, run with workers of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp

from support.histories.events import AnyEvent
from support.histories.plan import Plan
from support.histories.runner import run
from support.network.network import Network
from support.stack import Stack
from support.workers import Workers


async def attempt(
    plan: Plan,
    stack: Stack,
    session: aiohttp.ClientSession,
    folder: Path,
    *,
    drained_within: float,
    network: Network | None = None,
    watch: Callable[[AnyEvent], None] | None = None,
) -> Path:
    """Run it and return its history; the logs of the workers are in the folder, too.

    Raises whatever kept it from coming to its end; what there is of the history is in the folder then.
    """
    workers = Workers(stack.brokers, folder, session, network=network)
    path = folder / "history.jsonl"
    try:
        await run(plan, stack, workers, path, drained_within=drained_within, watch=watch)
    finally:
        workers.close()
    return path
