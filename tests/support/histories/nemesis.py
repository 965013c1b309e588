"""Does what a plan wants to be done to workers, servers, the network and the topic, while clients work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from support.histories.events import Struck, Trouble
from support.histories.plan import Strike
from support.histories.strikes import network, operators, servers, shares, workers
from support.histories.strikes.scene import Choose, Harm, Scene

STRIKES: Mapping[Trouble, Choose] = {
    **workers.STRIKES,
    **servers.STRIKES,
    **network.STRIKES,
    **operators.STRIKES,
    **shares.STRIKES,
}

#: What can be done only in `bin/isolated`: to a network, and to the broker of a stack that has a small disk.
ISOLATED = frozenset({*network.STRIKES, "broker disk full"})
#: What can be done on any machine.
ANYWHERE = frozenset(STRIKES.keys() - ISOLATED)


async def make_trouble(scene: Scene, strikes: Sequence[Strike]) -> None:
    """Do all of it, and return when all is over."""
    under_way: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:
        for number, strike in enumerate(strikes, 1):
            if not strike.beside:
                await _over(under_way)
            await asyncio.sleep(strike.after)
            harm = await _harm(scene, strike, under_way)
            scene.recorder.write(_struck(scene, number, strike, harm))
            # At once: whoever is next must not choose the same target.
            scene.busy.update(harm.touches)
            task = group.create_task(_do(scene, number, strike, harm))
            under_way.add(task)
            task.add_done_callback(under_way.discard)


async def _over(under_way: set[asyncio.Task[None]]) -> None:
    while under_way:
        await asyncio.wait(under_way)


async def _harm(scene: Scene, strike: Strike, under_way: set[asyncio.Task[None]]) -> Harm:
    """Where all that could be struck is being struck already, when the first of that is over."""
    while (harm := STRIKES[strike.trouble](scene, strike)) is None or harm.touches & scene.busy:
        if not under_way:
            raise RuntimeError(f"{strike.trouble}: nothing is there to be struck")
        await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    return harm


async def _do(scene: Scene, number: int, strike: Strike, harm: Harm) -> None:
    try:
        await harm.do()
    finally:
        scene.busy.difference_update(harm.touches)
    scene.recorder.write(_struck(scene, number, strike, harm, over=True))


def _struck(scene: Scene, number: int, strike: Strike, harm: Harm, *, over: bool = False) -> Struck:
    return Struck(
        at=scene.recorder.now(),
        trouble=strike.trouble,
        over=over,
        strike=number,
        worker=harm.worker,
        detail=harm.detail,
    )
