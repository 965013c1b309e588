"""Strict round robin over the clients that wait, in the order in which they joined: A, B, A, B.

Clients that do not wait cost nothing: the ring holds the waiting ones only, sorted by their number of joining, and the
turn goes to the first number above the one served last.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator


class Rotation:
    """Whose turn it is among waiting pulls. A client with two waiting pulls is one client with two hands."""

    def __init__(self) -> None:
        self._joined: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._waiting: dict[str, deque[int]] = {}
        self._ring: list[int] = []
        self._numbers = 0
        self._last = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __contains__(self, client: str) -> bool:
        return client in self._waiting

    def others_wait(self, client: str) -> bool:
        """Whether a client other than this one waits."""
        return len(self._waiting) > (client in self._waiting)

    def join(self, client: str) -> None:
        """Give a client its place, behind those who have one. Joining twice keeps the first place."""
        if client not in self._joined:
            self._numbers += 1
            self._joined[client] = self._numbers
            self._names[self._numbers] = client

    def leave(self, client: str) -> None:
        """Give the place up; one who comes back later stands last."""
        number = self._joined.pop(client, None)
        if number is not None:
            del self._names[number]
            if self._waiting.pop(client, None) is not None:
                del self._ring[bisect_left(self._ring, number)]

    def wait(self, client: str, pull: int) -> None:
        self.join(client)
        hands = self._waiting.get(client)
        if hands is None:
            self._waiting[client] = deque((pull,))
            insort(self._ring, self._joined[client])
        else:
            hands.append(pull)

    def stop_waiting(self, client: str, pull: int) -> None:
        hands = self._waiting.get(client)
        if hands is None or pull not in hands:
            return
        hands.remove(pull)
        if not hands:
            del self._waiting[client]
            del self._ring[bisect_left(self._ring, self._joined[client])]

    def turns(self) -> Iterator[tuple[str, int]]:
        """Who waits with which pull, from whose turn it is on, each client once. Stop at the first change."""
        ring = self._ring
        start = bisect_right(ring, self._last)
        for step in range(len(ring)):
            client = self._names[ring[(start + step) % len(ring)]]
            yield client, self._waiting[client][0]

    def served(self, client: str, pull: int) -> None:
        """The turn is over: the next one is that of who joined after this client."""
        self._last = self._joined[client]
        self.stop_waiting(client, pull)
