"""Strikes upon the processes of workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping

from support.histories.events import Trouble
from support.histories.plan import Strike
from support.histories.strikes.scene import Choose, Harm, Scene, answers


async def _kill(scene: Scene, strike: Strike, number: int) -> None:
    scene.crowd.kill(number)
    await asyncio.sleep(strike.lasts)
    await scene.crowd.start()


async def _restart(scene: Scene, strike: Strike, number: int) -> None:
    await scene.crowd.stop(number)
    await asyncio.sleep(strike.lasts)
    await scene.crowd.start()


async def _remove(scene: Scene, strike: Strike, number: int) -> None:
    await scene.crowd.stop(number)


async def _pause(scene: Scene, strike: Strike, number: int) -> None:
    worker = scene.crowd.there[number]
    worker.pause()
    try:
        await asyncio.sleep(strike.lasts)
    finally:
        worker.resume()
    await answers(worker)


def to_one(
    do: Callable[[Scene, Strike, int], Coroutine[None, None, None]], among: Callable[[Scene], Iterable[int]]
) -> Choose:
    """A strike upon one worker, by its number, that takes no other meanwhile."""

    def choose(scene: Scene, strike: Strike) -> Harm | None:
        names = {name_of(number): number for number in sorted(among(scene))}
        name = scene.pick(strike, list(names))
        if name is None:
            return None
        number = names[name]
        return Harm(do=lambda: do(scene, strike, number), worker=number, touches=frozenset({name}))

    return choose


def name_of(number: int) -> str:
    """As `Scene.busy` has it."""
    return f"worker {number}"


def anyone(scene: Scene) -> Iterable[int]:
    return scene.crowd.there


def mortals(scene: Scene) -> Iterable[int]:
    return scene.crowd.mortals()


def _add(scene: Scene, strike: Strike) -> Harm:
    return Harm(do=scene.crowd.start)


def _restart_all(scene: Scene, strike: Strike) -> Harm:
    numbers = scene.crowd.mortals()

    async def one_after_another() -> None:
        for number in numbers:
            await scene.crowd.stop(number)
            await scene.crowd.start()

    return Harm(do=one_after_another, touches=frozenset(map(name_of, numbers)))


STRIKES: Mapping[Trouble, Choose] = {
    "kill -9": to_one(_kill, mortals),
    "SIGTERM": to_one(_restart, mortals),
    "worker removed": to_one(_remove, mortals),
    "SIGSTOP": to_one(_pause, anyone),
    "worker added": _add,
    "rolling restart": _restart_all,
}
