"""The queue: takes fetches, pulls and settles, and decides who gets what.

Rules for this file: every method is told ``now`` (seconds of a monotonic clock); nothing waits and nothing is done to
the world: `serve` returns the hand-outs to make, `next_deadline` the time at which `expire` wants to be called.
A message is settled in memory at once, so that nobody else gets it; the runtime answers the client only when a row of
at least the ledger's version is in the changelog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from fanout_app.core.client import Client, Clients
from fanout_app.core.deadlines import Deadlines
from fanout_app.core.handover import fit, leave
from fanout_app.core.lanes import By, Lane
from fanout_app.core.lease import Answer, HandedOver
from fanout_app.core.leases import Leases
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger
from fanout_app.core.limits import Counters, Limits
from fanout_app.core.message import Message
from fanout_app.core.partition import PartitionQueue
from fanout_app.core.picking import IN_A_ROW, Turns, Wish, lanes_with_something, pick
from fanout_app.core.requests import Empty, Pull
from fanout_app.core.rotation import Rotation, Rotations
from fanout_app.core.sharing import Sharing, Turn

__all__ = ["Counters", "Dispatcher", "Handout", "Limits"]


class Handout(NamedTuple):
    """This pull gets this answer."""

    pull: int
    answer: Answer


class _Waiting(NamedTuple):
    pull: Pull
    client: Client
    #: Seconds after which what it is handed goes back, unless it is confirmed; None where that is not asked for.
    on_loan: float | None


class Dispatcher:
    """One worker's queue over all its partitions."""

    _queue = PartitionQueue

    def __init__(
        self, limits: Limits, *, new_batch: Callable[[], int], jitter: Callable[[], float], in_a_row: int = IN_A_ROW
    ) -> None:
        """``new_batch`` makes numbers that no owner ever repeats: tokens of earlier owners come back with them.

        ``in_a_row`` is how many fresh messages are taken of a partition before it is another one's turn.
        """
        self.limits = limits
        self.partitions: dict[int, PartitionQueue] = {}
        self.clients = Clients(limits.client_ttl, limits.hoarding)
        self.sharing = Sharing(self.clients)
        #: Nothing is handed out or fetched, by an operator's wish; leases go on.
        self.paused = False
        self._rotations = Rotations()
        self._waiting: dict[int, _Waiting] = {}
        self._pulls = 0
        self._new_batch = new_batch
        self._jitter = jitter
        self._deadlines = Deadlines()
        self._turns_of_partitions = Turns(in_a_row)
        self._returning: set[int] = set()
        self._forgetting = False
        self.leases = Leases(
            limits,
            self.partitions,
            self.clients,
            deadlines=self._deadlines,
            jitter=jitter,
            holds_more_or_less=self._reconsider,
            came_back=self.sharing.came_back,
        )

    def set_weights(self, weights: Mapping[str, int], by: By = "message") -> None:
        """Share by these, from the next `serve` on; a group that is not named has no weight."""
        self.sharing.use(weights, by)

    # Partitions ------------------------------------------------------------------------------------------------------

    def assign(self, number: int, snapshot: LedgerSnapshot) -> PartitionQueue:
        """Take a partition on with the ledger it starts from. Nothing of it is in memory before."""
        partition = self._queue(number, PartitionLedger(snapshot), self.limits, self.sharing.lanes)
        partition.on_returned = self._returning.add
        self.partitions[number] = partition
        self._turns_of_partitions.add(number)
        return partition

    def suspend(self) -> None:
        """A rebalance has begun: hand nothing out, keep everything."""
        for partition in self.partitions.values():
            partition.suspended = True

    def resume(self, number: int) -> None:
        partition = self.partitions[number]
        partition.ledger.begin_tenure()
        partition.suspended = False

    def take_over(self, number: int, handed_over: Iterable[HandedOver], now: float) -> int:
        """Hold back what the owner before has left, once the partition is assigned and before its first fetch.

        Returns:
            How many messages clients have of it.
        """
        for client in self.clients.dead(now):
            self._forget(client)  # who is alive again with a lease of another worker begins anew, as with a pull
        leased = self.leases.take_over(number, handed_over, now)
        if leased and not self._forgetting:
            self._forget_later(now)
        return leased

    def last_snapshot(self, number: int, now: float) -> tuple[LedgerSnapshot, int]:
        """The ledger with what the next owner is to hold back, as far as it fits into a row.

        Returns:
            Beside it: how many runs of leases or delays did not fit.
        """
        partition = self.partitions[number]
        runs = leave(partition, self.clients, self.answers, now)
        kept = fit(runs, self.limits.max_row_bytes - partition.row_bytes)
        return replace(partition.snapshot(), handed_over=tuple(kept)), len(runs) - len(kept)

    def drop(self, number: int, now: float) -> None:
        """The partition belongs to somebody else now: its leases end here, uncounted, and its ledger is forgotten."""
        partition = self.partitions.pop(number)
        self._turns_of_partitions.remove(number)
        self.leases.drop(partition, now)
        partition.clear()

    def offer(self, number: int, asked: int, after: int, messages: Sequence[Message]) -> bool:
        """Take a fetch; False if it does not continue the chain (see `PartitionQueue.offer`)."""
        partition = self.partitions.get(number)
        return partition is not None and partition.offer(asked, after, messages)

    def log_starts_at(self, number: int, offset: int) -> int:
        lost = self.partitions[number].log_starts_at(offset)
        self.counters.lost_to_retention += lost
        return lost

    def wants(self, number: int, now: float) -> bool:
        """Whether to fetch more of this partition."""
        partition = self.partitions.get(number)
        return (
            partition is not None
            and not partition.suspended
            and not self.paused
            and partition.full() is None
            and self.clients.someone_alive(now)
            and self.bytes_held() < self.limits.buffer_bytes
        )

    def bytes_held(self) -> int:
        return sum(partition.bytes_held for partition in self.partitions.values())

    # Pulls -----------------------------------------------------------------------------------------------------------

    def add_pull(self, now: float, pull: Pull, *, anonymous: bool = False, on_loan: float | None = None) -> int:
        """Let a client wait; `serve` tells whether there is something for it.

        ``on_loan`` is for a client whose answers have a way to go: seconds after which one goes back uncounted unless
        `confirm` was called for it.

        Returns:
            The number of the pull.
        """
        self._pulls += 1
        known = self.clients.get(pull.client)
        if known is not None and not known.alive(now, self.limits.client_ttl):
            self._forget(known)
        client = self.clients.seen(now, pull.client, pull.group, anonymous=anonymous)
        self.clients.started_waiting(client)
        self._waiting[self._pulls] = _Waiting(pull, client, on_loan)
        rotation = self._rotations.of(pull.group)
        if client.benched:
            rotation.bench(client.name)
        if client.stands_back:
            rotation.doubt(client.name)
        rotation.wait(client.name, self._pulls)
        if not self._forgetting:
            self._forget_later(now)
        return self._pulls

    def again(self, pull: Pull, now: float, on_loan: float | None = None) -> Answer | None:
        """What this pull was answered with when it was sent before (`Received`), which counts as delivered from now on.

        ``on_loan`` as in `add_pull`.
        """
        answer = self.leases.received.again(pull) if pull.receive_id else None
        if answer is not None:
            self.leases.confirm(answer)
            if on_loan is not None:
                self.leases.lend(answer, now + on_loan)
        return answer

    def cancel_pull(self, number: int, now: float) -> None:
        """The pull's time is up or its connection closed. Cancelling one that was served or cancelled is no fault."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            self._rotations.of(waiting.pull.group).stop_waiting(waiting.pull.client, number)
            self.clients.stopped_waiting(waiting.client, now)

    def waiting_pull(self, number: int) -> Pull | None:
        waiting = self._waiting.get(number)
        return waiting.pull if waiting is not None else None

    def why_empty(self, pull: Pull, now: float) -> Empty:
        """Why a pull that waited in vain got nothing."""
        client = self.clients.get(pull.client)
        if self.paused:
            return Empty.PAUSED
        if pull.group not in self.sharing.present(now, pull.group):
            return Empty.WEIGHT_ZERO
        if client is not None and self._allowance(client) <= 0:
            return Empty.CLIENT_LIMIT
        if not self.partitions or any(partition.suspended for partition in self.partitions.values()):
            return Empty.MOVING
        if self._full():
            return Empty.BUFFER_FULL
        return Empty.NO_MESSAGE

    def _full(self) -> bool:
        """Whether limits are what keeps messages in Kafka: the buffer's, or those of each partition that has some."""
        if self.bytes_held() >= self.limits.buffer_bytes:
            return True
        behind = [partition for partition in self.partitions.values() if partition.log_end > partition.next_offset]
        return bool(behind) and all(partition.full() for partition in behind)

    def serve(self, now: float) -> list[Handout]:
        """Hand what is there to whose turn it is. The leases exist from now on."""
        handouts: list[Handout] = []
        if not self.paused:
            while self._waiting and (handout := self._serve_one(now)):
                handouts.append(handout)
        return handouts

    def _serve_one(self, now: float) -> Handout | None:
        waiting, turns = self._turns(now)
        for turn in turns:
            handout = self._serve_group(turn, now)
            if handout is not None:
                self.sharing.served(turn, len(handout.answer), waiting)
                return handout
        return None

    def _turns(self, now: float) -> tuple[list[str], Iterable[Turn]]:
        """The groups of which clients wait, and who of them may be handed what is there."""
        there = self._there(now)
        waiting = self._rotations.waiting() if there else []
        return waiting, self.sharing.turns(waiting, there)

    def lanes_there(self) -> set[Lane]:
        """The lanes in which something waits that could be handed out."""
        return lanes_with_something(self.partitions, self._returning, by_key=self.sharing.lanes.by_key)

    def _there(self, now: float) -> set[Lane]:
        if self.sharing.look(now):
            for partition in self.partitions.values():
                partition.lay(self.sharing.lanes)
        return self.lanes_there()

    def could_serve(self, group: str, now: float) -> bool:
        """Whether there is something for a client of this group that waits: held, or in Kafka and wanted."""
        if any(self.sharing.turns([group], self._there(now))):
            return True
        in_kafka = any(one.log_end > one.next_offset and self.wants(at, now) for at, one in self.partitions.items())
        return in_kafka and any(self.sharing.turns([group], {None}))

    def _serve_group(self, turn: Turn, now: float) -> Handout | None:
        # Everyone in the rotation can take anything but what it is barred from itself, or what it stands back from. So
        # where two find nothing there is nothing; where one that stands back for others does, look among these.
        rotation = self._rotations.of(turn.group)
        for look, (name, number) in enumerate(rotation.turns()):
            handout = self._serve_pull(turn, rotation, name, number, now)
            if handout is not None:
                return handout
            if rotation.stands_back_for(name):
                break
            if look:
                return None
        else:
            return None
        for name, number in rotation.turns(trusted=True):
            handout = self._serve_pull(turn, rotation, name, number, now)
            if handout is not None:
                return handout
        return None

    def _serve_pull(self, turn: Turn, rotation: Rotation, name: str, number: int, now: float) -> Handout | None:
        pull, client, on_loan = self._waiting[number]
        most = self.sharing.most(turn, min(pull.max_messages, self._allowance(client)))
        wish = Wish(name, most, pull.max_bytes, rotation.others_wait(name), turn.lanes)
        if client.in_doubt:
            wish = wish._replace(in_doubt=True, first=rotation.stands_back_for(name))
        picked = pick(self.partitions, self._returning, self._turns_of_partitions, wish, now)
        if not picked:
            return None
        del self._waiting[number]
        rotation.served(name, number)
        self.clients.stopped_waiting(client, now)
        counted_in = self.sharing.round if turn.counted else 0
        answer = self.leases.hand_out(self._new_batch(), pull, client, picked, now, counted_in=counted_in)
        if on_loan is not None:
            self.leases.lend(answer, now + on_loan)
        return Handout(number, answer)

    # Leases ----------------------------------------------------------------------------------------------------------

    @property
    def answers(self) -> dict[int, Answer]:
        """What was handed out and is not over yet, by batch."""
        return self.leases.answers

    @property
    def counters(self) -> Counters:
        return self.leases.counters

    def release(self, answer: Answer, now: float) -> None:
        """The answer could not be written: its messages go back as if they had never been handed out."""
        self.leases.release(answer, now)

    def refuse(self, answer: Answer, now: float) -> None:
        """The client of an answer on loan was served by another worker meanwhile: as `release`.

        Workers that serve the same clients in the same order would go on meeting at each of them, so the turn goes to
        anybody.
        """
        self.release(answer, now)
        self._rotations.of(answer.group).jump(self._jitter())

    def expire(self, now: float) -> None:
        """End the leases whose time is up, and do whatever else is due."""
        self._deadlines.ring(now)

    def next_deadline(self) -> float | None:
        return self._deadlines.next()

    # Clients ---------------------------------------------------------------------------------------------------------

    def leave(self, name: str, now: float) -> list[int] | None:
        """A client leaves: its leases are freed, uncounted, and it has no place any more.

        Returns:
            Its waiting pulls, which are cancelled; None if nobody of that name is known.
        """
        client = self.clients.get(name)
        if client is None or not client.alive(now, self.limits.client_ttl):
            return None
        pulls = [number for number, waiting in self._waiting.items() if waiting.client is client]
        for number in pulls:
            self.cancel_pull(number, now)
        self.leases.free(name, now)
        self.clients.leave(client)
        self._rotations.leave(client.name)
        return pulls

    def _allowance(self, client: Client) -> int:
        """How many messages more it may hold."""
        return (1 if client.slowed else self.limits.client_limit) - client.in_flight

    def _reconsider(self, client: Client) -> None:
        """What the client holds has changed: let the rotations know whether it is in doubt, or at its limit.

        At its limit it leaves the ring, so that nobody has to look at it.
        """
        if client.in_doubt != client.stands_back:
            client.stands_back = client.in_doubt
            self._rotations.doubt(client.name, client.in_doubt)
        at_limit = self._allowance(client) <= 0
        if at_limit != client.benched:
            client.benched = at_limit
            self._rotations.bench(client.name, at_limit)

    def _forget_later(self, now: float) -> None:
        self._forgetting = True
        self._deadlines.set(now + self.limits.client_ttl, self._forget_dead)

    def _forget_dead(self, now: float) -> None:
        """Who is not alive has no place in the rotation. Looked at once a ttl, and whenever such a one comes back."""
        for client in self.clients.dead(now):
            self._forget(client)
        self._forgetting = False
        if len(self.clients):
            self._forget_later(now)

    def _forget(self, client: Client) -> None:
        self.clients.forget(client)
        self._rotations.leave(client.name)
