"""Asks the workers of a history again and again how they are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from typing import Any

import aiohttp

from support.histories.crowd import Crowd
from support.histories.events import Owned, Sampled
from support.histories.recorder import Recorder

_EVERY = 0.1
#: A worker asks the others before it answers, and waits for those that have just died.
_WITHIN = aiohttp.ClientTimeout(total=3.0)
#: Heartbeats come every half second.
_ASKED_WHO_EVERY = 0.4


async def sample(recorder: Recorder, session: aiohttp.ClientSession, crowd: Crowd) -> None:
    """Ask each that is there how it is, and one of them who has what. Runs until it is cancelled."""
    names: dict[str, int] = {}

    async def keep_sampling(number: int, url: str) -> None:
        # Each for itself: one that is stopped keeps nobody from asking the others.
        while number in crowd.there:
            name, leader = await _sample(recorder, session, number, url)
            if name:
                names[name] = number
                crowd.leader = names.get(leader, crowd.leader)
            await asyncio.sleep(_EVERY)

    async with asyncio.TaskGroup() as group:
        group.create_task(_keep_asking_who(recorder, session, crowd, names))
        asked: set[int] = set()
        while True:
            for number, worker in crowd.there.items():
                if number not in asked:
                    asked.add(number)
                    group.create_task(keep_sampling(number, worker.url))
            await asyncio.sleep(_EVERY)


async def _keep_asking_who(
    recorder: Recorder, session: aiohttp.ClientSession, crowd: Crowd, names: Mapping[str, int]
) -> None:
    told: set[tuple[int, int]] = set()
    for turn in count():
        await asyncio.sleep(_ASKED_WHO_EVERY)
        urls = [worker.url for worker in crowd.there.values()]
        for row in await _workers(session, urls[turn % len(urls)]) if len(urls) > 1 else ():
            number, generation = names.get(row["worker"], 0), row["generation"]
            if number and row["partitions"] and (number, generation) not in told:
                told.add((number, generation))
                recorder.write(
                    Owned(at=recorder.now(), worker=number, generation=generation, partitions=row["partitions"])
                )


async def _sample(recorder: Recorder, session: aiohttp.ClientSession, number: int, url: str) -> tuple[str, str]:
    """Its name, if it answers, and that of who leads."""
    sent = recorder.now()
    try:
        async with session.get(f"{url}/v1/status", timeout=_WITHIN) as response:
            status = await response.json()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return "", ""
    recorder.write(
        Sampled(
            at=recorder.now(),
            sent=sent,
            worker=number,
            generation=status["generation"],
            degraded=status["degraded"],
        )
    )
    return str(status["worker"]), str(status["leader"])


async def _workers(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    try:
        async with session.get(f"{url}/v1/workers", timeout=_WITHIN) as response:
            rows: list[dict[str, Any]] = (await response.json())["workers"]
    except (aiohttp.ClientError, OSError, TimeoutError, KeyError):
        return []
    return rows
