"""Who is there: a client is alive while a pull of it waits, while it holds a lease, and for a while after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Client:
    """One HTTP long-poller, by the name it gave. One without a name lives for its pull and its leases only."""

    name: str
    group: str
    anonymous: bool
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
    #: It may not be given more at the moment.
    benched: bool = False

    def alive(self, now: float, ttl: float) -> bool:
        return bool(self.waiting or self.in_flight or (not self.anonymous and now < self.seen + ttl))


class Clients:
    """All clients this worker knows. `someone_alive` is asked for every fetch, so it must not look at each of them."""

    def __init__(self, ttl: float, hoarding: int) -> None:
        self.ttl = ttl
        self._hoarding = hoarding
        self._clients: dict[str, Client] = {}
        self._named_seen = float("-inf")
        self.waiting = 0
        self.in_flight = 0

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients.values())

    def __getitem__(self, name: str) -> Client:
        """One that must be there, since it waits or holds a lease."""
        return self._clients[name]

    def get(self, name: str) -> Client | None:
        return self._clients.get(name)

    def seen(self, now: float, name: str, group: str, *, anonymous: bool) -> Client:
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = Client(name, group, anonymous, now)
        client.group = group
        self._touch(client, now)
        return client

    def started_waiting(self, client: Client) -> None:
        client.waiting += 1
        self.waiting += 1

    def stopped_waiting(self, client: Client, now: float) -> None:
        client.waiting -= 1
        self.waiting -= 1
        self._touch(client, now)

    def took(self, client: Client, count: int) -> None:
        client.in_flight += count
        client.delivered += count
        self.in_flight += count

    def holds(self, client: Client, count: int) -> None:
        """It has messages that another worker delivered."""
        client.in_flight += count
        self.in_flight += count

    def gave_up(self, client: Client, count: int, now: float) -> None:
        """Leases of the client ended, one way or the other."""
        client.in_flight -= count
        self.in_flight -= count
        self._touch(client, now)

    def acked(self, client: Client, count: int) -> None:
        client.acked += count
        client.in_vain = 0
        client.slowed = False

    def nacked(self, client: Client, count: int) -> None:
        client.nacked += count
        self.worked(client)

    def worked(self, client: Client) -> None:
        """It does something with what it takes, though only an ack makes up for having hoarded."""
        client.in_vain = 0

    def let_expire(self, client: Client, count: int) -> None:
        client.expired += count
        client.in_vain += count
        client.slowed = client.slowed or client.in_vain >= self._hoarding

    def _touch(self, client: Client, now: float) -> None:
        # A settle may end with the time at which it began, after something that took a while.
        client.seen = max(client.seen, now)
        if not client.anonymous:
            self._named_seen = max(self._named_seen, now)

    def someone_alive(self, now: float) -> bool:
        return bool(self.waiting or self.in_flight or now < self._named_seen + self.ttl)

    def dead(self, now: float) -> list[Client]:
        """Who is not alive any more and still known."""
        return [client for client in self._clients.values() if not client.alive(now, self.ttl)]

    def forget(self, client: Client) -> None:
        del self._clients[client.name]

    def leave(self, client: Client) -> None:
        """Forget one that was alive until now: it keeps the intake open no longer."""
        self.forget(client)
        named = (other.seen for other in self._clients.values() if not other.anonymous)
        self._named_seen = max(named, default=float("-inf"))
