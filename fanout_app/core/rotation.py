"""Strict round robin over the clients that wait, in the order in which they joined: A, B, A, B.

Clients that do not wait cost nothing, and neither do those that wait and may not be given more at the moment (they are
benched): the ring holds only who can be served, sorted by the number of joining, and the turn goes to the first number
above the one served last.

Some are in doubt: they let leases end. They have their turns like the others, but stand back from what was failed. Who
is not in doubt has to be found among a thousand that are, and nobody may pay for that where nobody is in doubt.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator


class Rotation:
    """Whose turn it is among waiting pulls. A client with two waiting pulls is one client with two hands."""

    def __init__(self) -> None:
        self._joined: dict[str, int] = {}
        self._names: dict[int, str] = {}
        #: By client: few at a time, so that a list takes a tenth of the memory of a queue.
        self._waiting: dict[str, list[int]] = {}
        self._benched: set[str] = set()
        self._in_doubt: set[str] = set()
        #: The numbers of joining of who can be served, ascending.
        self.ring: list[int] = []
        #: Of these the ones of who is not in doubt; the ring itself while nobody is.
        self._trusted = self.ring
        self._numbers = 0
        self._last = 0

    def others_wait(self, client: str) -> bool:
        """Whether another client than this one can be served."""
        return len(self.ring) > (client in self._waiting and client not in self._benched)

    def stands_back_for(self, client: str) -> tuple[str, ...]:
        """Who comes first where something was failed, at most two of them; none for a client that is not in doubt."""
        if client not in self._in_doubt:
            return ()
        return tuple([self._names[number] for number in self._trusted[:2]])

    def leave(self, client: str) -> None:
        """A client that does not wait gives its place up; it comes back as the last one."""
        self.trust(client)
        number = self._joined.pop(client, None)
        if number is not None:
            del self._names[number]
        self._benched.discard(client)

    def wait(self, client: str, pull: int) -> None:
        """Let a client wait with one more hand. Its first one gives it a place behind those who have one."""
        if client not in self._joined:
            self._numbers += 1
            self._joined[client] = self._numbers
            self._names[self._numbers] = client
        hands = self._waiting.get(client)
        if hands is not None:
            hands.append(pull)
            return
        self._waiting[client] = [pull]
        if client not in self._benched:
            self._into_ring(client)

    def stop_waiting(self, client: str, pull: int) -> None:
        hands = self._waiting[client]
        hands.remove(pull)
        if not hands:
            del self._waiting[client]
            if client not in self._benched:
                self._out_of_ring(client)

    def bench(self, client: str) -> None:
        """Pass a client over until `unbench`, whether it waits now or will; its place stays its own."""
        if client not in self._benched:
            self._benched.add(client)
            if client in self._waiting:
                self._out_of_ring(client)

    def unbench(self, client: str) -> None:
        if client in self._benched:
            self._benched.discard(client)
            if client in self._waiting:
                self._into_ring(client)

    def doubt(self, client: str) -> None:
        """Let a client stand back until `trust`, whether it waits now or will."""
        if client in self._in_doubt:
            return
        if not self._in_doubt:
            self._trusted = self.ring.copy()
        self._in_doubt.add(client)
        if client in self._waiting and client not in self._benched:
            del self._trusted[bisect_left(self._trusted, self._joined[client])]

    def trust(self, client: str) -> None:
        if client not in self._in_doubt:
            return
        self._in_doubt.discard(client)
        if not self._in_doubt:
            self._trusted = self.ring
        elif client in self._waiting and client not in self._benched:
            insort(self._trusted, self._joined[client])

    def turns(self, *, trusted: bool = False) -> Iterator[tuple[str, int]]:
        """Who waits with which pull, from whose turn it is on, each client once. Stop at the first change.

        ``trusted``: only those who are not in doubt.
        """
        ring = self._trusted if trusted else self.ring
        start = bisect_right(ring, self._last)
        for step in range(len(ring)):
            client = self._names[ring[(start + step) % len(ring)]]
            yield client, self._waiting[client][0]

    def served(self, client: str, pull: int) -> None:
        """The turn is over: the next one is that of who joined after this client."""
        self._last = self._joined[client]
        self.stop_waiting(client, pull)

    def jump(self, chance: float) -> None:
        """Go on with anybody's turn; ``chance`` in [0, 1) says whose."""
        if self.ring:
            self._last = self.ring[int(chance * len(self.ring))]

    def _into_ring(self, client: str) -> None:
        number = self._joined[client]
        insort(self.ring, number)
        if self._in_doubt and client not in self._in_doubt:
            insort(self._trusted, number)

    def _out_of_ring(self, client: str) -> None:
        number = self._joined[client]
        del self.ring[bisect_left(self.ring, number)]
        if self._in_doubt and client not in self._in_doubt:
            del self._trusted[bisect_left(self._trusted, number)]


class Rotations:
    """One rotation a group."""

    def __init__(self) -> None:
        self._of: dict[str, Rotation] = {}

    def of(self, group: str) -> Rotation:
        rotation = self._of.get(group)
        if rotation is None:
            rotation = self._of[group] = Rotation()
        return rotation

    def waiting(self) -> list[str]:
        """The groups in which somebody can be served."""
        return [group for group, rotation in self._of.items() if rotation.ring]

    def bench(self, client: str, benched: bool) -> None:
        for rotation in self._of.values():
            if benched:
                rotation.bench(client)
            else:
                rotation.unbench(client)

    def doubt(self, client: str, in_doubt: bool) -> None:
        for rotation in self._of.values():
            if in_doubt:
                rotation.doubt(client)
            else:
                rotation.trust(client)

    def leave(self, client: str) -> None:
        for rotation in self._of.values():
            rotation.leave(client)
