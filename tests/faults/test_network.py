"""The network that the fault suite breaks: what is cut does not get through, what is healed does, and nothing else."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from time import monotonic
from typing import NamedTuple, TypeVar

import pytest

from support.network.network import Network, Node

T = TypeVar("T")

#: Nothing that can arrive takes so long here.
SILENT = 0.5
#: What is sent again may have to wait for a timer, which doubles.
AGAIN = 20.0
_CLONE_NEWNET = 0x40000000


def at(node: Node, do: Callable[[], T]) -> T:
    """Done by a thread that is on the network as this node; a socket stays where it was made."""

    def there() -> T:
        if node.netns:
            libc = ctypes.CDLL(None, use_errno=True)
            namespace = os.open(f"/run/netns/{node.netns}", os.O_RDONLY)
            if libc.setns(namespace, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            os.close(namespace)
        return do()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(there).result()


class Datagrams(NamedTuple):
    """A socket of one node, and what it can ask another one."""

    node: Node
    socket: socket.socket

    def reaches(self, other: Datagrams) -> bool:
        """Sooner or later: one may get lost before the way is known, and a busy machine takes its time."""
        ends = monotonic() + AGAIN
        while not (arrived := self.sends_one(other)) and monotonic() < ends:
            pass
        return arrived

    def sends_one(self, other: Datagrams) -> bool:
        """Whether it arrives."""
        text = os.urandom(8)
        self.socket.sendto(text, other.socket.getsockname())
        other.socket.settimeout(SILENT)
        try:
            while other.socket.recv(100) != text:
                pass  # of an earlier question, that waited
        except TimeoutError:
            return False
        return True


def datagrams(node: Node) -> Datagrams:
    def bound() -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((node.address, 0))
        return opened

    return Datagrams(node, at(node, bound))


def connection(one: Node, other: Node) -> tuple[socket.socket, socket.socket]:
    """Both ends of it."""
    listener = at(other, lambda: socket.create_server((other.address, 0)))
    with listener:
        near = at(one, lambda: socket.create_connection(listener.getsockname(), 10))
        far, _ = listener.accept()
    far.settimeout(10)
    return near, far


def received(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := source.recv(1 << 20)):
        data += part
    return data


def seconds_for(size: int, near: socket.socket, far: socket.socket) -> float:
    """To send so much, all of it and unchanged."""
    data = os.urandom(size)
    far.settimeout(30)
    began = monotonic()
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(near.sendall, data)
        assert received(far, size) == data
        sending.result()
    return monotonic() - began


_names = count(1)


@pytest.fixture
def one(network: Network) -> Iterator[Datagrams]:
    opened = datagrams(network.add(f"test-{next(_names)}"))
    with opened.socket:
        yield opened


@pytest.fixture
def two(network: Network) -> Iterator[Datagrams]:
    opened = datagrams(network.add(f"test-{next(_names)}"))
    with opened.socket:
        yield opened


@pytest.fixture
def here(network: Network) -> Iterator[Datagrams]:
    opened = datagrams(network.here)
    with opened.socket:
        yield opened


def test_everybody_reaches_everybody(one: Datagrams, two: Datagrams, here: Datagrams) -> None:
    for source in (one, two, here):
        assert all(source.reaches(target) for target in (one, two, here))


def test_a_cut_is_between_these_two_alone(network: Network, one: Datagrams, two: Datagrams, here: Datagrams) -> None:
    network.cut(one.node, [two.node])
    assert not one.sends_one(two)
    assert not two.sends_one(one)
    assert one.reaches(here)
    assert here.reaches(two)
    network.heal(one.node, [two.node])
    assert one.reaches(two)
    assert two.reaches(one)


def test_a_cut_may_be_one_way(network: Network, one: Datagrams, two: Datagrams) -> None:
    network.cut(one.node, [two.node], "from it")
    assert not one.sends_one(two)
    assert two.reaches(one)
    network.heal(one.node, [two.node], "from it")
    network.cut(one.node, [two.node], "to it")
    assert one.reaches(two)
    assert not two.sends_one(one)
    network.heal(one.node, [two.node], "to it")
    assert one.reaches(two)
    assert two.reaches(one)


def test_the_tests_themselves_can_be_cut_from_a_node(
    network: Network, one: Datagrams, two: Datagrams, here: Datagrams
) -> None:
    network.cut(one.node, [network.here])
    assert not here.sends_one(one)
    assert not one.sends_one(here)
    assert one.reaches(two)
    network.heal(one.node, [network.here])
    assert here.reaches(one)


def test_what_two_strikes_have_cut_is_whole_when_both_are_healed(
    network: Network, one: Datagrams, two: Datagrams
) -> None:
    network.cut(one.node, [two.node])
    network.cut(two.node, [one.node], "from it")
    network.heal(one.node, [two.node])
    assert one.reaches(two)
    assert not two.sends_one(one)
    network.heal(two.node, [one.node], "from it")
    assert two.reaches(one)


def test_who_is_cut_off_is_so_from_those_who_come_later(network: Network, one: Datagrams, two: Datagrams) -> None:
    network.cut_off(one.node, "to it")
    later = datagrams(network.add(f"test-{next(_names)}"))
    assert not later.sends_one(one)
    assert not two.sends_one(one)
    assert one.reaches(later)
    network.heal_off(one.node, "to it")
    assert later.reaches(one)
    assert two.reaches(one)
    later.socket.close()


def test_a_connection_outlives_a_cut(network: Network, one: Datagrams, two: Datagrams) -> None:
    near, far = connection(one.node, two.node)
    with near, far:
        network.cut_off(one.node)
        near.sendall(b"waited")
        far.settimeout(SILENT)
        with pytest.raises(TimeoutError):
            far.recv(100)
        network.heal_off(one.node)
        far.settimeout(AGAIN)
        assert received(far, 6) == b"waited"


def test_a_slow_link_is_slow_both_ways_until_it_is_healed(network: Network, one: Datagrams, two: Datagrams) -> None:
    near, far = connection(one.node, two.node)
    with near, far:
        network.slow(one.node, 400)
        # Of 50 kB a second, but for the 16 kB that go at once.
        assert seconds_for(100_000, near, far) > 1.5
        assert seconds_for(100_000, far, near) > 1.5
        network.unslow(one.node)
        assert seconds_for(100_000, near, far) < 1.5


def test_a_delayed_link_delays_both_ways_until_it_is_healed(network: Network, one: Datagrams, two: Datagrams) -> None:
    def there_and_back() -> float:
        near.sendall(b"?")
        assert received(far, 1) == b"?"
        far.sendall(b"!")
        assert received(near, 1) == b"!"
        return monotonic() - began

    near, far = connection(one.node, two.node)
    with near, far:
        network.delay(one.node, 0.2, jitter=0.1)
        began = monotonic()
        assert there_and_back() >= 0.4
        network.undelay(one.node)
        # The first may have been lost with the link it was on, and is sent again.
        there_and_back()
        began = monotonic()
        assert there_and_back() < 0.4


def test_what_goes_over_a_delayed_link_arrives_unchanged(
    network: Network, one: Datagrams, two: Datagrams, here: Datagrams
) -> None:
    """Whole segments are under way on such networks, with checksums that nobody has made yet."""
    for other in (two.node, here.node):
        near, far = connection(one.node, other)
        with near, far:
            network.delay(one.node, 0.005)
            seconds_for(5_000_000, near, far)
            seconds_for(5_000_000, far, near)
            network.undelay(one.node)


def test_a_lossy_link_loses_its_share(network: Network, one: Datagrams, two: Datagrams) -> None:
    assert one.reaches(two)
    network.delay(one.node, 0.0, loss=0.5)
    arrived = sum(one.sends_one(two) for _ in range(40))
    network.undelay(one.node)
    assert 5 <= arrived <= 35
    assert all(one.reaches(two) for _ in range(5))
