"""What working together needs of the world: connections to other workers, and how answers look."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from fanout_app.cluster.frames import Frame, Wish
from fanout_app.core.lease import Answer


class Peer(Protocol):
    """Another worker, for as long as one connection to it lasts; see `fanout_app.peers.link`."""

    @property
    def name(self) -> str: ...
    def send(self, frame: Frame) -> None:
        """Frames arrive in this order, or they and all after them are lost with the connection."""

    def drop(self) -> None:
        """Give the connection up: whoever is at its other end does not do its part."""


class PeerListener(Protocol):
    """Who is told what comes of connections. Called in the loop; nothing here may block or raise."""

    def joined(self, peer: Peer) -> None: ...
    def lost(self, peer: Peer) -> None:
        """Nothing more comes from it or goes to it."""

    def received(self, peer: Peer, frame: Frame) -> None: ...


class Rendered(NamedTuple):
    """A finished answer."""

    headers: tuple[tuple[str, str], ...]
    body: bytes | None


#: Makes the finished answer of what was handed out.
Render = Callable[[Answer, Wish], Rendered]
