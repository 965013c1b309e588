"""Asks the workers of a history again and again how they are."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from support.histories.crowd import Crowd
from support.histories.events import Owned, Sampled
from support.histories.recorder import Recorder

_EVERY = 0.1
_WITHIN = aiohttp.ClientTimeout(total=1.0)
#: Times that a worker is asked how it is before one is asked who has what: heartbeats come every half second.
_ASKED_WHO = 4


async def sample(recorder: Recorder, session: aiohttp.ClientSession, crowd: Crowd) -> None:
    """Ask all that are there how they are, and one of them who has what. Runs until it is cancelled."""
    owned: set[tuple[int, int]] = set()
    names: dict[str, int] = {}
    turn = 0
    while True:
        turn += 1
        there = {number: worker.url for number, worker in crowd.there.items()}
        sampled = await asyncio.gather(*(_sample(recorder, session, number, url) for number, url in there.items()))
        names |= {name: number for name, number in zip(sampled, there, strict=True) if name}
        if there and len(names) > 1 and turn % _ASKED_WHO == 0:
            urls = list(there.values())
            for row in await _workers(session, urls[turn // _ASKED_WHO % len(urls)]):
                number, generation = names.get(row["worker"], 0), row["generation"]
                if number and row["partitions"] and (number, generation) not in owned:
                    owned.add((number, generation))
                    recorder.write(
                        Owned(at=recorder.now(), worker=number, generation=generation, partitions=row["partitions"])
                    )
        await asyncio.sleep(_EVERY)


async def _sample(recorder: Recorder, session: aiohttp.ClientSession, number: int, url: str) -> str:
    """Its name, if it answers."""
    sent = recorder.now()
    try:
        async with session.get(f"{url}/v1/status", timeout=_WITHIN) as response:
            status = await response.json()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return ""
    recorder.write(
        Sampled(
            at=recorder.now(),
            sent=sent,
            worker=number,
            generation=status["generation"],
            degraded=status["degraded"],
        )
    )
    return str(status["worker"])


async def _workers(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    try:
        async with session.get(f"{url}/v1/workers", timeout=_WITHIN) as response:
            rows: list[dict[str, Any]] = (await response.json())["workers"]
    except (aiohttp.ClientError, OSError, TimeoutError, KeyError):
        return []
    return rows
