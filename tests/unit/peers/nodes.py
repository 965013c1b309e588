"""Workers that only have connections, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from aiohttp import web

from fanout_app.cluster.frames import Frame
from fanout_app.cluster.ports import Peer
from fanout_app.lease_keys import LeaseKeys, Seal
from fanout_app.peers.handshake import LINK, Handshake
from fanout_app.peers.mesh import Mesh
from fanout_app.tasks import Tasks
from fanout_app.tls import TlsFiles
from fanout_app.web.listening import new_site, url_of
from fanout_app.web.runner import ProblemRunner
from fanout_app.web.serving_limits import ServingLimits


class Node:
    """A worker that only has connections."""

    def __init__(self, name: str, key: bytes, ahead: float, tls: TlsFiles | None = None) -> None:
        self.name = name
        self.peers: list[Peer] = []
        self.lost_ones: list[str] = []
        self.heard: list[tuple[str, Frame]] = []
        self.addresses: dict[str, str] = {}
        self.faults: list[BaseException] = []
        self.tasks = Tasks(self.faults.append)
        self.handshake = Handshake(Seal(LeaseKeys([key]), "id", "t"), name, lambda: monotonic() + ahead)
        self.mesh = Mesh(
            name, self.handshake, self, lambda: self.addresses, self.tasks, lambda: tls.in_use.peer if tls else None
        )
        self.address = ""

    def joined(self, peer: Peer) -> None:
        self.peers.append(peer)

    def lost(self, peer: Peer) -> None:
        self.peers.remove(peer)
        self.lost_ones.append(peer.name)

    def received(self, peer: Peer, frame: Frame) -> None:
        self.heard.append((peer.name, frame))

    def names(self) -> list[str]:
        return sorted(peer.name for peer in self.peers)


@asynccontextmanager
async def node(name: str, key: bytes = b"key", ahead: float = 0.0, tls: TlsFiles | None = None) -> AsyncIterator[Node]:
    one = Node(name, key, ahead, tls)
    app = web.Application()
    app.add_routes([web.get(LINK, one.mesh.accept)])
    runner = ProblemRunner(app, ServingLimits(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await new_site(runner, listener, tls).start()
    one.address = url_of(listener, "http" if tls is None or tls.in_use.server is None else "https")
    one.tasks.start(one.mesh.keep(), "keep")
    try:
        yield one
    finally:
        await one.tasks.stop()
        await runner.cleanup()
    assert one.faults == []


def introduce(*nodes: Node) -> None:
    for one in nodes:
        one.addresses = {other.name: other.address for other in nodes if other is not one}
