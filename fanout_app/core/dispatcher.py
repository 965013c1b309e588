"""The queue: takes fetches, pulls and settles, and decides who gets what.

Rules for this file: every method is told ``now`` (seconds of a monotonic clock); nothing waits and nothing is done to
the world: `serve` returns the hand-outs to make, `next_deadline` the time at which `expire` wants to be called.
A message is settled in memory at once, so that nobody else gets it; the runtime answers the client only when a row of
at least the ledger's version is in the changelog.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fanout_app.core.client import Client, Clients
from fanout_app.core.deadlines import Deadlines
from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger
from fanout_app.core.message import Message, size_of
from fanout_app.core.partition import PartitionQueue
from fanout_app.core.redelivery import Backoff
from fanout_app.core.requests import Empty, Pull
from fanout_app.core.rotation import Rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every limit of the queue. Times in seconds, sizes in bytes."""

    max_ack_pending: int = 10_000
    buffer_bytes: int = 64 << 20
    client_limit: int = 1000
    client_ttl: float = 10.0
    #: So many leases that run out in a row make a client one that hoards.
    hoarding: int = 10
    #: How long a failed message waits for another client before the one that failed it may have it again.
    other_client_wait: float = 1.0
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(slots=True)
class Counters:
    """What happened since the start, in messages."""

    delivered: int = 0
    redelivered: int = 0
    acked: int = 0
    late: int = 0
    nacked: int = 0
    rejected: int = 0
    expired: int = 0
    released: int = 0
    lost_to_retention: int = 0


class Handout(NamedTuple):
    """This pull gets this answer."""

    pull: int
    answer: Answer


class _Waiting(NamedTuple):
    pull: Pull
    client: Client


_REMEMBERED_BATCHES = 10_000


class Dispatcher:
    """One worker's queue over all its partitions."""

    def __init__(self, limits: Limits, *, new_batch: Callable[[], int], jitter: Callable[[], float]) -> None:
        """``new_batch`` makes numbers that no owner ever repeats: tokens of earlier owners come back with them."""
        self.limits = limits
        self.partitions: dict[int, PartitionQueue] = {}
        self.clients = Clients(limits.client_ttl, limits.hoarding)
        self.counters = Counters()
        #: Groups with a share; only these are handed anything.
        self.weights: dict[str, int] = {"stable": 100}
        self.answers: dict[int, Answer] = {}
        #: Batches acked whole, latest last, with their partitions: a client whose answer was lost on the way sends its
        #: ack again, and is answered when all of these are in the changelog.
        self.acked_batches: OrderedDict[int, tuple[int, ...]] = OrderedDict()
        self._rotations: dict[str, Rotation] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._pulls = 0
        self._new_batch = new_batch
        self._jitter = jitter
        self._deadlines = Deadlines()
        self._turn_of_partition: deque[int] = deque()
        self._forgetting = False
        self._waking_at: float | None = None

    # Partitions ------------------------------------------------------------------------------------------------------

    def assign(self, number: int, snapshot: LedgerSnapshot) -> PartitionQueue:
        """Take a partition on with the ledger it starts from. Nothing of it is in memory before."""
        partition = self.partitions[number] = PartitionQueue(number, PartitionLedger(snapshot))
        self._turn_of_partition.append(number)
        return partition

    def suspend(self) -> None:
        """A rebalance has begun: hand nothing out, keep everything."""
        for partition in self.partitions.values():
            partition.suspended = True

    def resume(self, number: int) -> None:
        self.partitions[number].suspended = False

    def drop(self, number: int, now: float) -> None:
        """The partition belongs to somebody else now: its leases end here, uncounted, and its ledger is forgotten."""
        partition = self.partitions.pop(number)
        self._turn_of_partition.remove(number)
        for run in set(partition.in_flight.values()):
            self._end(run, run.live, now)
        partition.clear()
        # What was settled here may not have reached the changelog: the next ledger decides, whoever reads it.
        for batch in [batch for batch, numbers in self.acked_batches.items() if number in numbers]:
            del self.acked_batches[batch]

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
            and partition.held < self.limits.max_ack_pending
            and self.clients.someone_alive(now)
            and self.bytes_held() < self.limits.buffer_bytes
        )

    def bytes_held(self) -> int:
        return sum(partition.bytes_held for partition in self.partitions.values())

    # Pulls -----------------------------------------------------------------------------------------------------------

    def add_pull(self, now: float, pull: Pull, *, anonymous: bool = False) -> int:
        """Let a client wait; `serve` tells whether there is something for it. Returns the number of the pull."""
        self._pulls += 1
        known = self.clients.get(pull.client)
        if known is not None and not known.alive(now, self.limits.client_ttl):
            self._forget(known)
        client = self.clients.seen(now, pull.client, pull.group, anonymous=anonymous)
        self.clients.started_waiting(client)
        self._waiting[self._pulls] = _Waiting(pull, client)
        rotation = self._rotation(pull.group)
        if client.benched:
            rotation.bench(client.name)
        rotation.wait(client.name, self._pulls)
        if not self._forgetting:
            self._forget_later(now)
        return self._pulls

    def cancel_pull(self, number: int, now: float) -> None:
        """The pull's time is up or its connection closed. Cancelling one that was served or cancelled is no fault."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            self._rotation(waiting.pull.group).stop_waiting(waiting.pull.client, number)
            self.clients.stopped_waiting(waiting.client, now)

    def waiting_pull(self, number: int) -> Pull | None:
        waiting = self._waiting.get(number)
        return waiting.pull if waiting is not None else None

    def why_empty(self, pull: Pull) -> Empty:
        """Why a pull that waited in vain got nothing."""
        client = self.clients.get(pull.client)
        if not self.weights.get(pull.group):
            return Empty.WEIGHT_ZERO
        if client is not None and self._allowance(client) <= 0:
            return Empty.CLIENT_LIMIT
        if not self.partitions or any(partition.suspended for partition in self.partitions.values()):
            return Empty.MOVING
        if self.bytes_held() >= self.limits.buffer_bytes:
            return Empty.BUFFER_FULL
        return Empty.NO_MESSAGE

    def serve(self, now: float) -> list[Handout]:
        """Hand what is there to whose turn it is. The leases exist from now on."""
        handouts: list[Handout] = []
        for group, weight in self.weights.items():
            rotation = self._rotations.get(group)
            if weight and rotation is not None:
                while rotation and (handout := self._serve_one(rotation, now)):
                    handouts.append(handout)
        return handouts

    def _serve_one(self, rotation: Rotation, now: float) -> Handout | None:
        if not any(self._has_something(partition) for partition in self.partitions.values()):
            return None
        # Everyone in the rotation can take anything but what it is barred from itself: the second turn ends this.
        for _name, number in rotation.turns():
            waiting = self._waiting[number]
            taken = self._take(waiting, now)
            if taken:
                del self._waiting[number]
                rotation.served(waiting.pull.client, number)
                return Handout(number, self._hand_out(waiting, taken, now))
        return None

    @staticmethod
    def _has_something(partition: PartitionQueue) -> bool:
        return not partition.suspended and bool(partition.fresh_count or partition.returned)

    def _take(self, waiting: _Waiting, now: float) -> list[tuple[PartitionQueue, list[Message]]]:
        """Take messages for this pull: returned ones first, then fresh ones, from the partition whose turn it is on."""
        pull = waiting.pull
        limit = min(pull.max_messages, self._allowance(waiting.client))
        room = pull.max_bytes
        taken: list[tuple[PartitionQueue, list[Message]]] = []
        for partition in self.partitions.values():
            if partition.returned and not partition.suspended and limit:
                messages = partition.returned.take(
                    pull.client, now, limit, room, alone=not taken, others_wait=self._others_wait(pull.client)
                )
                if messages:
                    limit -= len(messages)
                    room -= sum(map(size_of, messages))
                    taken.append((partition, messages))
        order = self._turn_of_partition
        for _ in range(len(order)):
            if not limit or (taken and room <= 0):
                break
            partition = self.partitions[order[0]]
            order.rotate(-1)
            if partition.fresh_count and not partition.suspended:
                messages = partition.take_fresh(limit, room, alone=not taken)
                if messages:
                    limit -= len(messages)
                    if limit:
                        room -= sum(map(size_of, messages))
                    taken.append((partition, messages))
        return taken

    def _others_wait(self, client: str) -> bool:
        """Whether anybody else could take a message now, of whatever group."""
        return any(
            self.weights.get(group) and rotation.others_wait(client) for group, rotation in self._rotations.items()
        )

    def _hand_out(self, waiting: _Waiting, taken: list[tuple[PartitionQueue, list[Message]]], now: float) -> Answer:
        pull, client = waiting
        batch = self._new_batch()
        runs: list[LeaseRun] = []
        for partition, messages in taken:
            for count, part in _by_delivery_count(partition.ledger, messages):
                run = LeaseRun(
                    batch=batch,
                    partition=partition.number,
                    era=partition.ledger.era,
                    client=pull.client,
                    group=pull.group,
                    messages=part,
                    delivery_count=count,
                    delivered_at=now,
                    ack_wait=pull.ack_wait,
                )
                partition.lease(run)
                self._ends_at(run, run.deadline)
                self.clients.took(client, len(part))
                self.counters.delivered += len(part)
                if count > 1:
                    self.counters.redelivered += len(part)
                runs.append(run)
        self.clients.stopped_waiting(client, now)
        self._reconsider(client)
        answer = self.answers[batch] = Answer(batch=batch, client=pull.client, group=pull.group, runs=runs)
        return answer

    # Ends of leases --------------------------------------------------------------------------------------------------

    def live_messages(self, run: LeaseRun) -> list[Message]:
        """The messages of a run that are still under its lease."""
        partition = self.partitions.get(run.partition)
        if partition is None or not run.live:
            return []
        if run.live == len(run.messages):
            return list(run.messages)
        return [message for message in run.messages if partition.in_flight.get(message.offset) is run]

    def release(self, answer: Answer, now: float) -> None:
        """The answer could not be written: its messages go back as if they had never been handed out."""
        for run in (*answer.runs, *answer.splits):
            messages = self.live_messages(run)
            if messages:
                self._take_back(run, messages, now, barred=False)
                self.counters.released += len(messages)

    def expire(self, now: float) -> None:
        """End the leases whose time is up, and do whatever else is due."""
        self._deadlines.ring(now)

    def _ends_at(self, run: LeaseRun, deadline: float) -> None:
        run.alarm.cancel()
        run.deadline = deadline
        run.alarm = self._deadlines.set(deadline, lambda now: self._expired(run, now))

    def _expired(self, run: LeaseRun, now: float) -> None:
        messages = self.live_messages(run)
        self.clients.let_expire(self.clients[run.client], len(messages))
        self.counters.expired += len(messages)
        self._fail(run, messages, now, delay=0.0)

    def next_deadline(self) -> float | None:
        return self._deadlines.next()

    def fail(self, run: LeaseRun, messages: Sequence[Message], now: float, delay: float | None) -> None:
        """Nacked: the next client gets them after ``delay`` seconds, by default those of the backoff."""
        if delay is None:
            delay = self.limits.backoff.delay(run.delivery_count, self._jitter())
        self._fail(run, messages, now, delay)

    def _fail(self, run: LeaseRun, messages: Sequence[Message], now: float, delay: float) -> None:
        partition = self.partitions[run.partition]
        for message in messages:
            partition.ledger.failed(message.offset)
        if delay <= 0:
            self._take_back(run, messages, now, barred=True)
            return
        for message in messages:
            del partition.in_flight[message.offset]
            partition.delayed[message.offset] = message
        offsets = [message.offset for message in messages]
        client = run.client
        self._end(run, len(messages), now)
        self._deadlines.set(now + delay, lambda at: self._delay_over(partition, offsets, client, at))

    @staticmethod
    def _delay_over(partition: PartitionQueue, offsets: list[int], failed_by: str, now: float) -> None:
        for offset in offsets:
            message = partition.delayed.pop(offset, None)
            if message is not None:
                # Others had the delay to come: who failed it has no longer to wait for them, only to stand back.
                partition.give_back(message, barred=failed_by, until=now)

    def _take_back(self, run: LeaseRun, messages: Sequence[Message], now: float, *, barred: bool) -> None:
        partition = self.partitions[run.partition]
        until = now + self.limits.other_client_wait
        for message in messages:
            del partition.in_flight[message.offset]
            partition.give_back(message, barred=run.client if barred else None, until=until)
        if barred and self._waking_at != until:
            # Once for all that fail at one time: there is nothing to do then but to look again who may have what.
            self._waking_at = until
            self._deadlines.set(until, _nothing)
        self._end(run, len(messages), now)

    def settle_leased(self, run: LeaseRun, messages: Sequence[Message], now: float) -> None:
        """These messages of one run, ascending and all live, are done."""
        partition = self.partitions[run.partition]
        in_flight = partition.in_flight
        offsets = [message.offset for message in messages]
        for offset in offsets:
            del in_flight[offset]
        partition.bytes_held -= sum(map(size_of, messages))
        partition.ledger.settle(offsets)
        self._end(run, len(messages), now)

    def settle_one(self, number: int, offset: int, now: float) -> None:
        """This message is done, whoever has it at the moment, and even if it was not fetched yet."""
        partition = self.partitions[number]
        run = partition.in_flight.get(offset)
        if run is not None:
            self.settle_leased(run, [run.message(offset)], now)
        else:
            partition.forget(offset)
            partition.ledger.settle((offset,))

    def extend(self, run: LeaseRun, messages: Sequence[Message], ack_wait: float, now: float) -> None:
        """Let leases of one run end ``ack_wait`` from now."""
        if len(messages) == run.live:
            run.ack_wait = ack_wait
            self._ends_at(run, now + ack_wait)
        else:
            for message in messages:
                self.split(run, message.offset, ack_wait, now)

    def split(self, run: LeaseRun, offset: int, ack_wait: float, now: float) -> LeaseRun:
        """Give one message of a run a lease with an end of its own."""
        partition = self.partitions[run.partition]
        single = LeaseRun(
            batch=run.batch,
            partition=run.partition,
            era=run.era,
            client=run.client,
            group=run.group,
            messages=[run.message(offset)],
            delivery_count=run.delivery_count,
            delivered_at=run.delivered_at,
            ack_wait=ack_wait,
        )
        self._ends_at(single, now + ack_wait)
        partition.in_flight[offset] = single
        splits = self.answers[run.batch].splits
        run.live -= 1
        if not run.live:
            run.alarm.cancel()
            if run in splits:
                splits.remove(run)
        splits.append(single)
        return single

    def _end(self, run: LeaseRun, count: int, now: float) -> None:
        """Leases of a run are over; its messages have been moved elsewhere."""
        run.live -= count
        if not run.live:
            run.alarm.cancel()
        client = self.clients[run.client]
        self.clients.gave_up(client, count, now)
        self._reconsider(client)
        answer = self.answers[run.batch]
        answer.live -= count
        if not answer.live:
            del self.answers[run.batch]

    def remember_acked(self, answer: Answer) -> None:
        self.acked_batches[answer.batch] = tuple({run.partition for run in answer.runs})
        if len(self.acked_batches) > _REMEMBERED_BATCHES:
            self.acked_batches.popitem(last=False)

    # Clients ---------------------------------------------------------------------------------------------------------

    def _rotation(self, group: str) -> Rotation:
        rotation = self._rotations.get(group)
        if rotation is None:
            rotation = self._rotations[group] = Rotation()
        return rotation

    def _allowance(self, client: Client) -> int:
        """How many messages more it may hold."""
        return (1 if client.slowed else self.limits.client_limit) - client.in_flight

    def _reconsider(self, client: Client) -> None:
        """What the client holds has changed: at its limit it leaves the ring, so that nobody has to look at it."""
        at_limit = self._allowance(client) <= 0
        if at_limit != client.benched:
            client.benched = at_limit
            for rotation in self._rotations.values():
                if at_limit:
                    rotation.bench(client.name)
                else:
                    rotation.unbench(client.name)

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
        for rotation in self._rotations.values():
            rotation.leave(client.name)


def _nothing(now: float) -> None:
    pass


def _by_delivery_count(ledger: PartitionLedger, messages: list[Message]) -> Iterable[tuple[int, list[Message]]]:
    """Group messages by what this delivery of them is counted as; ascending offsets stay ascending."""
    if not ledger.failures:
        return ((1, messages),)
    groups: dict[int, list[Message]] = {}
    for message in messages:
        groups.setdefault(ledger.delivery_count(message.offset), []).append(message)
    return groups.items()
