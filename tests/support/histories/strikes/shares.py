"""Strikes upon the shares of groups, by operators, by clients that fail, and upon whoever leads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

from support.eventually import eventually
from support.histories.events import Trouble
from support.histories.plan import Strike
from support.histories.sharing import CANARY, Operator
from support.histories.strikes.scene import Choose, Harm, Scene, answers
from support.histories.strikes.workers import anyone, mortals, to_one

#: A window of the guard, and what a leader needs to look; the rest is for a machine under load.
_TAKEN_OUT_WITHIN = 15.0
_LOOKED_EVERY = 0.3
#: Until a change is on its way to the board.
_SOON = 0.03


def _change(scene: Scene, strike: Strike) -> Harm:
    """Every other time two operators want the same change of what both have read."""

    async def do() -> None:
        operator = _operator(scene)
        here, there = operator.target(strike.which), operator.target(strike.which + 1)
        if strike.which % 2 and (now := await operator.read(here)) is not None:
            twice = {group: 2 * weight for group, weight in strike.weights.items()}
            await asyncio.gather(
                operator.change(here, strike.weights, by_key=strike.by_key, of=now),
                operator.change(there, twice, by_key=strike.by_key, of=now),
            )
        else:
            await operator.see_to(strike.weights, by_key=strike.by_key, which=strike.which)

    return Harm(do=do, detail=_listed(strike))


def _fail(scene: Scene, strike: Strike) -> Harm:
    """All clients of the canary do, until its guard has taken it out; then a person gives it something again."""

    async def do() -> None:
        operator = _operator(scene)
        shared = {**strike.weights, CANARY: max(20, strike.weights.get(CANARY, 0))}
        await operator.see_to(shared, by_key=strike.by_key, which=strike.which, guarded=True)
        scene.failing.add(CANARY)

        async def is_taken_out() -> bool:
            now = await operator.read(operator.target(strike.which))
            return now is not None and now.weights.get(CANARY) == 0

        # Where nobody leads, or the canary is given nothing, it is not.
        with suppress(AssertionError):
            await eventually(is_taken_out, _TAKEN_OUT_WITHIN, every=_LOOKED_EVERY)
        scene.failing.discard(CANARY)
        await operator.see_to(strike.weights, by_key=strike.by_key, which=strike.which)

    return Harm(do=do, detail=_listed(strike))


async def _kill(scene: Scene, strike: Strike, number: int) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_see_to_it(scene, strike))
        await asyncio.sleep(_SOON)
        scene.crowd.kill(number)
        await asyncio.sleep(strike.lasts)
        await scene.crowd.start()


async def _pause(scene: Scene, strike: Strike, number: int) -> None:
    worker = scene.crowd.there[number]
    async with asyncio.TaskGroup() as group:
        group.create_task(_see_to_it(scene, strike))
        await asyncio.sleep(_SOON)
        worker.pause()
        try:
            await asyncio.sleep(strike.lasts)
        finally:
            worker.resume()
    await answers(worker)


async def _see_to_it(scene: Scene, strike: Strike) -> None:
    await _operator(scene).see_to(strike.weights, by_key=strike.by_key, which=strike.which)


def _leader(scene: Scene) -> Iterable[int]:
    """Who leads, as far as is known; it may be another one by now."""
    return {scene.crowd.leader} & set(anyone(scene)) or anyone(scene)


def _mortal_leader(scene: Scene) -> Iterable[int]:
    return {scene.crowd.leader} & set(mortals(scene)) or mortals(scene)


def _operator(scene: Scene) -> Operator:
    if scene.operator is None:
        raise RuntimeError("the plan says nothing of the shares of groups")
    return scene.operator


def _listed(strike: Strike) -> str:
    weights = ", ".join(f"{group} {weight}" for group, weight in strike.weights.items())
    return f"{weights}; by {'key' if strike.by_key else 'message'}"


STRIKES: Mapping[Trouble, Choose] = {
    "weights changed": _change,
    "canary fails": _fail,
    "leader killed": to_one(_kill, _mortal_leader),
    "leader paused": to_one(_pause, _leader),
}
