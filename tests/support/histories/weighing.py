"""Weighs the processes of the workers again and again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.histories.crowd import Crowd
from support.histories.events import Weighed
from support.histories.recorder import Recorder

_EVERY = 2.0


async def weigh(recorder: Recorder, crowd: Crowd) -> None:
    """Write down the resident memory of each worker that is there. Runs until it is cancelled."""
    while True:
        for number, worker in sorted(crowd.there.items()):
            rss = resident_kib(worker.pid)
            if rss is not None:
                recorder.write(Weighed(at=recorder.now(), worker=number, rss_kib=rss))
        await asyncio.sleep(_EVERY)


def resident_kib(pid: int) -> int | None:
    """None: it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A process that has ended and was not waited for yet has none.
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), None)
