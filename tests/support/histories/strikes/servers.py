"""Strikes upon the processes and disks of Kafka and ZooKeeper servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from support.eventually import eventually
from support.histories.events import Trouble
from support.histories.plan import Strike
from support.histories.strikes.scene import Choose, Harm, Scene
from support.stack import Stack

#: A broker that finds its disk full takes a while to end, and may do so only when it is to write again.
_ANSWER_WITHIN = 120.0

#: Does something to servers, by their names.
_Act = Callable[..., None]


def _upon(scene: Scene, strike: Strike, servers: tuple[str, ...], hurt: _Act, heal: _Act) -> Harm:
    async def do() -> None:
        try:
            await asyncio.to_thread(hurt, *servers)
            await asyncio.sleep(strike.lasts)
        finally:
            await asyncio.to_thread(heal, *servers)
            await eventually(lambda: asyncio.to_thread(_answer, scene.stack, servers), _ANSWER_WITHIN)

    return Harm(do=do, detail=", ".join(servers), touches=frozenset(servers))


def _answer(stack: Stack, servers: tuple[str, ...]) -> bool:
    """Start those that have ended and wait for all. One that is just about to end is started the next time."""
    try:
        stack.start(*servers)
    except RuntimeError as error:
        raise AssertionError(str(error)) from error
    return True


def _killed(kind: str) -> Choose:
    def choose(scene: Scene, strike: Strike) -> Harm | None:
        server = scene.pick(strike, scene.stack.servers(kind))
        return _upon(scene, strike, (server,), scene.stack.kill, scene.stack.start) if server else None

    return choose


def _paused(kind: str) -> Choose:
    def choose(scene: Scene, strike: Strike) -> Harm | None:
        server = scene.pick(strike, scene.stack.servers(kind))
        return _upon(scene, strike, (server,), scene.stack.pause, scene.stack.resume) if server else None

    return choose


def _all_killed(kind: str) -> Choose:
    def choose(scene: Scene, strike: Strike) -> Harm:
        return _upon(scene, strike, scene.stack.servers(kind), scene.stack.kill, scene.stack.start)

    return choose


def _disk_full(scene: Scene, strike: Strike) -> Harm:
    stack = scene.stack
    if not stack.small_disk:
        raise RuntimeError("no broker of this stack has a disk to be filled: running_stack(..., small_disk=)")
    return _upon(scene, strike, (stack.small_disk,), stack.fill_disk, stack.free_disk)


STRIKES: Mapping[Trouble, Choose] = {
    "broker killed": _killed("kafka"),
    "broker paused": _paused("kafka"),
    "all brokers killed": _all_killed("kafka"),
    "broker disk full": _disk_full,
    "zookeeper killed": _killed("zookeeper"),
    "zookeeper paused": _paused("zookeeper"),
    "all zookeepers killed": _all_killed("zookeeper"),
}
