"""Every system that there is, fanout's own variants first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.peers.aiokafka_group import AiokafkaGroup
from benchmarks.peers.elasticmq import ElasticMq
from benchmarks.peers.empty_handler import EmptyHandler
from benchmarks.peers.fanout import Fanout
from benchmarks.peers.faust_agent import FaustAgent
from benchmarks.peers.kafka_pixy import KafkaPixy
from benchmarks.peers.nats import Nats
from benchmarks.peers.share_groups import ShareGroups
from benchmarks.peers.system import System

#: A system is made anew for each round.
Make = Callable[[], System]

_MAKES: Sequence[Make] = (
    Fanout,
    lambda: Fanout(encoding="msgpack"),
    lambda: Fanout(workers=2),
    lambda: Fanout(durable=False),
    AiokafkaGroup,
    Nats,
    lambda: Nats(sync_always=True),
    lambda: Nats(confirmed=True),
    ShareGroups,
    lambda: ShareGroups(acks="explicit"),
    lambda: ShareGroups("python"),
    lambda: ShareGroups("python", "explicit"),
    KafkaPixy,
    ElasticMq,
    EmptyHandler,
    FaustAgent,
)
SYSTEMS: Mapping[str, Make] = {make().name: make for make in _MAKES}
OURS = "fanout"


class UnknownPeer(ValueError):
    """The text says which there are."""


def selected(peers: Sequence[str] | None) -> Mapping[str, Make]:
    """fanout's variants, and the peers so named or with names that begin with these words; None is all.

    Raises UnknownPeer for what selects nothing.
    """
    if peers is None:
        return SYSTEMS
    for peer in peers:
        if not any(_is(name, peer) for name in SYSTEMS):
            raise UnknownPeer(f"no peer {peer!r}: {', '.join(SYSTEMS)}")
    return {name: make for name, make in SYSTEMS.items() if any(_is(name, one) for one in (OURS, *peers))}


def _is(name: str, words: str) -> bool:
    return name == words or name.startswith(f"{words}-")
