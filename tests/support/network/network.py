"""A switched network on one machine, of a namespace for each node, that can be cut, slowed down and delayed.

Only inside `bin/isolated`: whoever makes it, and all that runs there in no node, is on the network as `here`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from support.network.commands import answer_for_nobody, ip, run
from support.network.isolation import inside
from support.network.relay import Relay

Way = Literal["both", "from it", "to it"]

_BRIDGE = "switch"
_SUBNET = "10.77.0"
_MOST = 254
_WAITS_AT_MOST = "500ms"
#: Nobody's.
_BOGUS = "02:00:00:00:00:99"


@dataclass(frozen=True, slots=True)
class Node:
    """What has an address of its own."""

    name: str
    number: int

    @property
    def address(self) -> str:
        return f"{_SUBNET}.{self.number}"

    @property
    def netns(self) -> str:
        """The name of its namespace; none: that of the tests."""
        return "" if self.number == 1 else self.name

    @property
    def prefix(self) -> tuple[str, ...]:
        """What goes before a command that is to run there; the process that it begins with goes on to be it."""
        return ("ip", "netns", "exec", self.netns) if self.netns else ()

    @property
    def device(self) -> str:
        return "eth0" if self.netns else _BRIDGE

    @property
    def link_address(self) -> str:
        return f"02:00:0a:4d:00:{self.number:02x}"

    @property
    def plug(self) -> str:
        """The other end of its cable, in the switch."""
        return f"plug{self.number}"


class Network:
    """The switch, and who is connected to it.

    Strikes of the same kind add up: what two have cut is whole again when both are healed.
    """

    def __init__(self) -> None:
        if not inside():
            raise RuntimeError(
                "a network of its own is for tests inside bin/isolated: bin/isolated .venv/bin/pytest ..."
            )
        self.here = Node("here", 1)
        self.nodes: dict[str, Node] = {}
        #: From whom to whom nothing gets through, and how many strikes say so.
        self._cuts: Counter[tuple[Node, Node]] = Counter()
        self._off: Counter[tuple[Node, Way]] = Counter()
        self._slowed: Counter[Node] = Counter()
        self._delayed: Counter[Node] = Counter()
        self._relays: dict[Node, Relay] = {}

    def __enter__(self) -> Self:
        ip("link", "add", _BRIDGE, "address", self.here.link_address, "type", "bridge")
        ip("addr", "add", f"{self.here.address}/24", "dev", _BRIDGE)
        ip("link", "set", _BRIDGE, "up")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for relay in self._relays.values():
            relay.close()
        for node in self.nodes.values():
            ip("link", "del", node.plug)
            ip("netns", "del", node.netns)
        ip("link", "del", _BRIDGE)

    def add(self, name: str) -> Node:
        """The node of this name; if it is new it is connected, and whoever is cut off is so from this one as well."""
        if name in self.nodes:
            return self.nodes[name]
        number = len(self.nodes) + 2
        if number > _MOST:
            raise ValueError(f"more than {_MOST} nodes")
        node = self.nodes[name] = Node(name, number)
        ip("netns", "add", node.netns)
        far_end = ("name", node.device, "address", node.link_address, "netns", node.netns)
        ip("link", "add", node.plug, "type", "veth", "peer", *far_end)
        answer_for_nobody(node.plug)
        ip("link", "set", node.plug, "master", _BRIDGE, "up")
        ip("-n", node.netns, "addr", "add", f"{node.address}/24", "dev", node.device)
        for device in ("lo", node.device):
            ip("-n", node.netns, "link", "set", device, "up")
        for (other, way), count in self._off.items():
            for _ in range(count):
                self.cut(other, [node], way)
        return node

    # Cuts ------------------------------------------------------------------------------------------------------------

    def cut(self, node: Node, others: Iterable[Node], way: Way = "both") -> None:
        """From now on nothing gets through: connections stay open, and nobody is told."""
        for source, target in _ways(node, others, way):
            self._cuts[source, target] += 1
            if self._cuts[source, target] == 1:
                # A neighbour that is known for good is not asked for again, and nobody listens at its address.
                _neighbour(source, target, _BOGUS, "permanent")

    def heal(self, node: Node, others: Iterable[Node], way: Way = "both") -> None:
        """Undo `cut`: what is sent again gets through."""
        for source, target in _ways(node, others, way):
            self._cuts[source, target] -= 1
            if not self._cuts[source, target]:
                # Known at once: to be asked for could take a second, and the question could get lost.
                _neighbour(source, target, target.link_address, "stale")

    def cut_off(self, node: Node, way: Way = "both") -> None:
        """From everybody, whoever comes later included."""
        self.cut(node, self._others(node), way)
        self._off[node, way] += 1

    def heal_off(self, node: Node, way: Way = "both") -> None:
        """Undo `cut_off`."""
        self._off[node, way] -= 1
        self.heal(node, self._others(node), way)

    def _others(self, node: Node) -> list[Node]:
        return [other for other in (self.here, *self.nodes.values()) if other != node]

    # Bad links -------------------------------------------------------------------------------------------------------

    def slow(self, node: Node, kbit: int) -> None:
        """So much a second gets through at most, in each direction; what would wait for long is lost."""
        self._slowed[node] += 1
        for where in _both_ends(node):
            run("tc", *where("replace"), "tbf", "rate", f"{kbit}kbit", "burst", "16kb", "latency", _WAITS_AT_MOST)

    def unslow(self, node: Node) -> None:
        self._slowed[node] -= 1
        if not self._slowed[node]:
            for where in _both_ends(node):
                run("tc", *where("del"))

    def delay(self, node: Node, seconds: float, *, jitter: float = 0.0, loss: float = 0.0) -> None:
        """Each frame to it and from it takes so long, and up to ``jitter`` more; this share of them is lost.

        While it is delayed already, nothing more is done to it.
        """
        self._delayed[node] += 1
        if self._delayed[node] == 1:
            self._relays[node] = Relay(node.plug, _BRIDGE, seconds, jitter=jitter, loss=loss)

    def undelay(self, node: Node) -> None:
        self._delayed[node] -= 1
        if not self._delayed[node]:
            self._relays.pop(node).close()


def _ways(node: Node, others: Iterable[Node], way: Way) -> list[tuple[Node, Node]]:
    """From whom to whom nothing is to get through."""
    others = list(others)
    sent = [] if way == "to it" else [(node, other) for other in others]
    return sent + ([] if way == "from it" else [(other, node) for other in others])


def _neighbour(source: Node, target: Node, link_address: str, state: str) -> None:
    where = ("-n", source.netns) if source.netns else ()
    known = ("lladdr", link_address, "nud", state)
    ip(*where, "neigh", "replace", target.address, *known, "dev", source.device)


def _both_ends(node: Node) -> tuple[Callable[[str], tuple[str, ...]], ...]:
    """The arguments of ``tc`` for what is sent by it and what is sent to it."""
    return (
        lambda verb: ("-n", node.netns, "qdisc", verb, "dev", node.device, "root"),
        lambda verb: ("qdisc", verb, "dev", node.plug, "root"),
    )
