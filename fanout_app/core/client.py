"""Who is there: a client is alive while a pull of it waits, while it holds a lease, and for a while after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class _Presence:
    """What keeps the clients of a group alive, all together: nobody has to look at each of them."""

    group: str
    waiting: int = 0
    in_flight: int = 0
    #: When one with a name was heard of last.
    named_seen: float = float("-inf")
    #: When one without was, in its group: such a one ends with its lease, and is the next one a moment later. The group
    #: does not come and go with each of them.
    nameless_seen: float = float("-inf")

    def alive(self, now: float, ttl: float) -> bool:
        return bool(self.waiting or self.in_flight or now < self.named_seen + ttl)

    def there_until(self, now: float, ttl: float) -> float:
        """When its group is gone at the earliest; whoever waits or holds something now is heard of when that ends."""
        since = now if self.waiting or self.in_flight else max(self.named_seen, self.nameless_seen)
        return since + ttl


@dataclass(slots=True)
class Client:
    """One HTTP long-poller, by the name it gave. One without a name lives for its pull and its leases only."""

    name: str
    anonymous: bool
    #: That of its group.
    presence: _Presence
    #: Seconds of the monotonic clock when it was last heard of.
    seen: float
    waiting: int = 0
    in_flight: int = 0
    delivered: int = 0
    acked: int = 0
    nacked: int = 0
    expired: int = 0
    #: Leases that ran out since the last one that did not.
    in_vain: int = 0
    #: It takes and does not ack: one message at a time until it does.
    slowed: bool = False
    #: It let a lease end and has not acked anything since.
    in_doubt: bool = False
    #: It may not be given more at the moment.
    benched: bool = False
    #: The rotations know that it is in doubt.
    stands_back: bool = False

    @property
    def group(self) -> str:
        return self.presence.group

    def alive(self, now: float, ttl: float) -> bool:
        return bool(self.waiting or self.in_flight or (not self.anonymous and now < self.seen + ttl))


class Clients:
    """All clients this worker knows. `someone_alive` is asked for every fetch, so it must not look at each of them."""

    def __init__(self, ttl: float, hoarding: int) -> None:
        self.ttl = ttl
        self._hoarding = hoarding
        self._clients: dict[str, Client] = {}
        self._groups: dict[str, _Presence] = {}
        #: The groups alive, and until when these are the same ones unless one comes or is left.
        self._groups_alive: frozenset[str] | None = None
        self._same_until = float("-inf")

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients.values())

    def __getitem__(self, name: str) -> Client:
        """One that must be there, since it waits or holds a lease."""
        return self._clients[name]

    def get(self, name: str) -> Client | None:
        return self._clients.get(name)

    @property
    def waiting(self) -> int:
        """Pulls that wait."""
        return sum(presence.waiting for presence in self._groups.values())

    @property
    def in_flight(self) -> int:
        """Messages under leases."""
        return sum(presence.in_flight for presence in self._groups.values())

    def seen(self, now: float, name: str, group: str, *, anonymous: bool) -> Client:
        client = self._clients.get(name)
        presence = self._of(group)
        if client is None:
            client = self._clients[name] = Client(name, anonymous, presence, now)
        elif client.presence is not presence:
            self._move(client, presence)
        self._touch(client, now)
        return client

    def started_waiting(self, client: Client) -> None:
        client.waiting += 1
        client.presence.waiting += 1

    def stopped_waiting(self, client: Client, now: float) -> None:
        client.waiting -= 1
        client.presence.waiting -= 1
        self._touch(client, now)

    def took(self, client: Client, count: int) -> None:
        client.delivered += count
        self.holds(client, count)

    def holds(self, client: Client, count: int) -> None:
        """It has so many messages more, whoever delivered them."""
        client.in_flight += count
        client.presence.in_flight += count

    def gave_up(self, client: Client, count: int, now: float) -> None:
        """Leases of the client ended, one way or the other."""
        client.in_flight -= count
        client.presence.in_flight -= count
        self._touch(client, now)

    def acked(self, client: Client, count: int) -> None:
        client.acked += count
        client.in_vain = 0
        client.slowed = False
        client.in_doubt = False

    def nacked(self, client: Client, count: int) -> None:
        client.nacked += count
        self.worked(client)

    def worked(self, client: Client) -> None:
        """It does something with what it takes, though only an ack makes up for having hoarded."""
        client.in_vain = 0

    def let_expire(self, client: Client, count: int) -> None:
        client.expired += count
        client.in_vain += count
        client.in_doubt = True
        client.slowed = client.slowed or client.in_vain >= self._hoarding

    def _move(self, client: Client, to: _Presence) -> None:
        """It is of another group from now on, with all that it holds; or of its own, which had gone."""
        before = client.presence
        for presence, sign in ((before, -1), (to, 1)):
            presence.waiting += sign * client.waiting
            presence.in_flight += sign * client.in_flight
        client.presence = to
        before.named_seen = self._last_seen(before.group)
        self._groups_alive = None

    def _of(self, group: str) -> _Presence:
        presence = self._groups.get(group)
        if presence is None:
            presence = self._groups[group] = _Presence(group)
            self._groups_alive = None
        return presence

    def _last_seen(self, group: str) -> float:
        """When one with a name was heard of last, of this group."""
        named = (client for client in self._clients.values() if not client.anonymous and client.group == group)
        return max((client.seen for client in named), default=float("-inf"))

    @staticmethod
    def _touch(client: Client, now: float) -> None:
        # A settle may end with the time at which it began, after something that took a while.
        if now > client.seen:
            client.seen = now
        presence = client.presence
        if client.anonymous:
            presence.nameless_seen = max(presence.nameless_seen, now)
        elif now > presence.named_seen:
            presence.named_seen = now

    def someone_alive(self, now: float) -> bool:
        return any(presence.alive(now, self.ttl) for presence in self._groups.values())

    def groups_alive(self, now: float) -> frozenset[str]:
        """The groups of which somebody is there, or was less than a ttl ago, with a name or without.

        The same object as long as they are the same ones.
        """
        if self._groups_alive is None or now >= self._same_until:
            until = {group: presence.there_until(now, self.ttl) for group, presence in self._groups.items()}
            self._groups = {group: presence for group, presence in self._groups.items() if now < until[group]}
            self._groups_alive = frozenset(self._groups)
            self._same_until = min((until[group] for group in self._groups), default=float("inf"))
        return self._groups_alive

    def dead(self, now: float) -> list[Client]:
        """Who is not alive any more and still known."""
        return [client for client in self._clients.values() if not client.alive(now, self.ttl)]

    def forget(self, client: Client) -> None:
        del self._clients[client.name]

    def leave(self, client: Client) -> None:
        """Forget one that was alive until now: it keeps the intake open no longer."""
        self.forget(client)
        client.presence.named_seen = self._last_seen(client.group)
        self._groups_alive = None
