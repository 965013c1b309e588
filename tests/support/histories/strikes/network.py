"""Strikes upon the network between one worker and others: nothing is closed, nobody is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from support.histories.events import Trouble
from support.histories.plan import Strike
from support.histories.strikes.scene import Choose, Harm, Scene, answers
from support.network.network import Network, Node
from support.workers import Worker

#: Enough for heartbeats, too little for what is read ahead of clients.
_SLOW_KBIT = 200
#: Seconds, of each frame; a connection is made in three times as much. And of a hundred frames so many are lost.
_DELAY, _JITTER, _LOSS = 0.1, 0.1, 0.02

#: Does something to a node of the network.
_Act = Callable[[Network, Node, Strike], None]
#: Whom the worker is to be cut from.
_Others = Callable[[Scene, Strike, Network], list[Node]]


def _upon(scene: Scene, strike: Strike, detail: str, hurt: _Act, heal: _Act) -> Harm | None:
    if scene.network is None:
        raise RuntimeError(f"{strike.trouble}: there is a network to be struck in bin/isolated only")
    if not scene.crowd.there:
        return None
    network, number = scene.network, scene.crowd.number(strike.which)
    worker = scene.crowd.there[number]
    node = _node_of(worker)

    async def do() -> None:
        try:
            await asyncio.to_thread(hurt, network, node, strike)
            await asyncio.sleep(strike.lasts)
        finally:
            await asyncio.to_thread(heal, network, node, strike)
        await answers(worker)

    # It may be killed meanwhile, and who is started in its place has the same network.
    return Harm(do=do, worker=number, detail=f"{node.name} {detail}")


def _node_of(worker: Worker) -> Node:
    assert worker.node is not None, "workers of a network are at nodes of it"
    return worker.node


def _cut(others_of: _Others) -> Choose:
    def choose(scene: Scene, strike: Strike) -> Harm | None:
        others = others_of(scene, strike, scene.network) if scene.network and scene.crowd.there else []
        return _upon(
            scene,
            strike,
            f"from {', '.join(other.name for other in others)}; {strike.way}",
            lambda network, node, strike: network.cut(node, others, strike.way),
            lambda network, node, strike: network.heal(node, others, strike.way),
        )

    return choose


def _servers(kind: str) -> _Others:
    return lambda scene, strike, network: [network.nodes[server] for server in scene.stack.servers(kind)]


def _other_workers(scene: Scene, strike: Strike, network: Network) -> list[Node]:
    struck = scene.crowd.number(strike.which)
    return [_node_of(worker) for number, worker in scene.crowd.there.items() if number != struck]


def _cut_off(scene: Scene, strike: Strike) -> Harm | None:
    return _upon(
        scene,
        strike,
        f"from everybody; {strike.way}",
        lambda network, node, strike: network.cut_off(node, strike.way),
        lambda network, node, strike: network.heal_off(node, strike.way),
    )


def _slow(scene: Scene, strike: Strike) -> Harm | None:
    return _upon(
        scene,
        strike,
        f"{_SLOW_KBIT} kbit/s",
        lambda network, node, strike: network.slow(node, _SLOW_KBIT),
        lambda network, node, strike: network.unslow(node),
    )


def _delayed(scene: Scene, strike: Strike) -> Harm | None:
    return _upon(
        scene,
        strike,
        f"{_DELAY:g} to {_DELAY + _JITTER:g} s, {_LOSS:.0%} lost",
        lambda network, node, strike: network.delay(node, _DELAY, jitter=_JITTER, loss=_LOSS),
        lambda network, node, strike: network.undelay(node),
    )


STRIKES: Mapping[Trouble, Choose] = {
    "cut from brokers": _cut(_servers("kafka")),
    "cut from zookeepers": _cut(_servers("zookeeper")),
    "cut from workers": _cut(_other_workers),
    "cut from clients": _cut(lambda scene, strike, network: [network.here]),
    "cut off": _cut_off,
    "slow link": _slow,
    "delayed link": _delayed,
}
