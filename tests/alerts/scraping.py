"""What a real worker says when it is scraped, as Prometheus does it."""

from __future__ import annotations

import aiohttp

from support.eventually import eventually
from support.scraped import series
from support.workers import Worker

#: Minutes for which all was well before, longer than any rule looks back.
WELL = 70


async def scrape(session: aiohttp.ClientSession, worker: Worker) -> bytes:
    async with session.get(f"{worker.url}/metrics") as response:
        assert response.status == 200, await response.text()
        return await response.read()


async def once(session: aiohttp.ClientSession, worker: Worker, **least: float) -> bytes:
    """What it says once each of these is so high, by its name without ``fanout_``, over all its labels."""
    said = b""

    async def is_so() -> bool:
        nonlocal said
        said = await scrape(session, worker)
        found = {name: value_of(said, name) for name in least}
        assert all(found[name] >= value for name, value in least.items()), f"{worker!r} says {found}"
        return True

    await eventually(is_so, 40.0)
    return said


def value_of(said: bytes, name: str) -> float:
    """The sum of all series of a metric."""
    return sum(value for found, value in series(said).items() if found.partition("{")[0] == f"fanout_{name}")
