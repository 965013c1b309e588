"""The queue as one would do it on paper: a table of offsets and where each of them stands, searched from end to end.

It knows no runs, heaps, bitmaps or counters, and says what `fanout_app.core` must do by the words of `docs/api.md`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from fanout_app.core.requests import LeaseRef, Pull
from properties.naive_shares import LanesTaken, NaiveShares, key_of

TTL = 10.0
CLIENT_LIMIT = 4
HOARDING = 5
OTHER_CLIENT_WAIT = 1.0
LONG_DELAY = 2.0
MAX_DELIVER = 4
ALONE_FROM = 3
MAX_ACK_PENDING = 12
IN_A_ROW = 3
BUFFER_BYTES = 400
#: More than any row here has, whatever is handed over with it.
MAX_ROW_BYTES = 1_000_000


class Place(Enum):
    #: It waits for an earlier one of its key.
    BLOCKED = "blocked"
    FRESH = "fresh"
    IN_FLIGHT = "in flight"
    RETURNED = "returned"
    DELAYED = "delayed"
    #: Delayed for long: the body is not in memory.
    ASLEEP = "asleep"
    #: Given up on; on its way to where such messages go.
    SPENT = "spent"


@dataclass(slots=True)
class Held:
    """Where one unsettled message stands. ``at`` is the end of its lease, of its delay or of its bar."""

    size: int
    place: Place = Place.FRESH
    #: Who has it, or has failed it, and in which group.
    client: str | None = None
    group: str = ""
    #: The group that has failed it last.
    failed_in: str = ""
    batch: int = 0
    at: float = 0.0
    #: Of one that is asleep: its time has come; its body is being read; until when who failed it is barred then.
    due: bool = False
    reading: bool = False
    barred_until: float = 0.0
    #: Handed out by an earlier owner, and not read by this one.
    bodiless: bool = False
    #: A fetch has brought its record: its key is known.
    passed: bool = False
    #: To be put where such messages go as soon as its body is there.
    given_up: bool = False

    def weight(self) -> int:
        """Bytes it takes in memory."""
        return 0 if self.bodiless or self.place is Place.ASLEEP else self.size


@dataclass(slots=True)
class NaivePartition:
    era: int
    start: int
    settled: set[int]
    failures: dict[int, int]
    next_offset: int
    held: dict[int, Held] = field(default_factory=dict)
    suspended: bool = False
    row_too_large: bool = False
    log_end: int = 0
    #: Offset of the latest witness in the row it started from, and the last offsets of fetches since.
    witness: int | None = None
    last_of_fetches: list[int] = field(default_factory=list)
    #: Higher than that of every row this owner has read.
    tenure: int = 1
    #: Messages of a key are handed out one after the other.
    ordered: bool = False

    def is_settled(self, offset: int) -> bool:
        return offset < self.start or offset in self.settled

    def floor(self) -> int:
        return next(offset for offset in itertools.count(self.start) if offset not in self.settled)

    def settle(self, offset: int) -> None:
        self.settled.add(offset)
        held = self.held.pop(offset, None)
        self.failures.pop(offset, None)
        others = self.others_of_key(offset, held.size) if held is not None and held.passed else []
        if others and all(self.held[other].place is Place.BLOCKED for other in others):
            self.goes_out(others[0])

    def others_of_key(self, offset: int, size: int) -> list[int]:
        """Those that are known to have the key of this one, if messages of a key wait for one another."""
        key = key_of(offset, size)
        known = [other for other, held in self.held.items() if held.passed and other != offset]
        same = sorted(other for other in known if key_of(other, self.held[other].size) == key)
        return same if self.ordered and key is not None else []

    def goes_out(self, offset: int) -> None:
        used_up = self.failures.get(offset, 0) >= MAX_DELIVER
        self.held[offset].place = Place.SPENT if used_up else Place.FRESH

    def arrives(self, offset: int, size: int) -> None:
        self.held[offset] = Held(size, Place.BLOCKED, passed=True)
        if not self.others_of_key(offset, size):
            self.goes_out(offset)

    def in_memory(self) -> dict[int, Held]:
        return {offset: held for offset, held in self.held.items() if held.place is not Place.ASLEEP}

    def full(self) -> bool:
        return len(self.in_memory()) >= MAX_ACK_PENDING or self.row_too_large

    def latest_witness(self) -> int | None:
        """The last record of a fetch, of those below the floor."""
        below = [offset for offset in self.last_of_fetches if offset < self.floor()]
        return max([*below, *([] if self.witness is None else [self.witness])], default=None)

    def at(self, *places: Place) -> list[int]:
        return sorted(offset for offset, held in self.held.items() if held.place in places)


@dataclass(slots=True)
class NaiveClient:
    name: str
    named: bool
    seen: float
    #: The one it came with last.
    group: str
    joined: dict[str, int] = field(default_factory=dict)
    in_vain: int = 0
    slowed: bool = False
    in_doubt: bool = False
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class NaiveBatch:
    client: str
    refs: list[LeaseRef]
    #: The round in which it came by its group's turn.
    counted_in: int = 0


class NaiveQueue(NaiveShares):
    def __init__(self, batches: itertools.count[int], *, ordered: bool = False) -> None:
        super().__init__()
        self.ordered = ordered
        self.partitions: dict[int, NaivePartition] = {}
        self.turn: list[int] = []
        #: Whose turn has begun, and how many messages were taken in it.
        self.in_a_row = (-1, 0)
        self.clients: dict[str, NaiveClient] = {}
        self.pulls: dict[int, Pull] = {}
        #: The groups, in the order in which they came first.
        self.came: list[str] = []
        self.paused = False
        self.last_served: dict[str, int] = {}
        self.batches: dict[int, NaiveBatch] = {}
        self.acked_whole: set[int] = set()
        self.counts: Counter[str] = Counter()
        self._joins = itertools.count(1)
        self._new_batch = batches

    # Partitions ------------------------------------------------------------------------------------------------------

    def assign(
        self, number: int, era: int, start: int, settled: set[int], failures: dict[int, int], witness: int | None
    ) -> None:
        partition = NaivePartition(
            era, start, set(settled), dict(failures), start, witness=witness, ordered=self.ordered
        )
        partition.next_offset = partition.floor()
        self.partitions[number] = partition
        self.turn.append(number)

    def drop(self, number: int, now: float) -> None:
        for held in self.partitions[number].held.values():
            if held.place is Place.IN_FLIGHT and held.client is not None:
                self.clients[held.client].seen = now
        del self.partitions[number]
        if self.in_a_row[0] == number:
            self.in_a_row = (-1, 0)
        self.turn.remove(number)
        self.acked_whole -= {
            batch for batch, known in self.batches.items() if any(ref.partition == number for ref in known.refs)
        }

    def offer(self, number: int, asked: int, after: int, sizes: dict[int, int]) -> bool:
        partition = self.partitions[number]
        if asked != partition.next_offset:
            return False
        for offset in sizes.keys() & partition.held.keys():
            partition.held[offset].passed = True
        for offset in range(asked, after):
            if offset in partition.held:
                continue
            if offset not in sizes:
                partition.settle(offset)
            elif not partition.is_settled(offset):
                partition.arrives(offset, sizes[offset])
        partition.next_offset = after
        if sizes:
            partition.last_of_fetches.append(max(sizes))
        return True

    def log_starts_at(self, number: int, offset: int) -> int:
        partition = self.partitions[number]
        passed = [at for at in range(partition.next_offset, offset) if at not in partition.held]
        lost = [at for at in passed if not partition.is_settled(at)]
        for at in passed:
            partition.settle(at)
        partition.next_offset = max(partition.next_offset, offset)
        self.counts["lost_to_retention"] += len(lost)
        return len(lost)

    # Clients ---------------------------------------------------------------------------------------------------------

    def held_by(self, client: str) -> int:
        return sum(
            held.place is Place.IN_FLIGHT and held.client == client
            for partition in self.partitions.values()
            for held in partition.held.values()
        )

    def waits(self, client: str, group: str | None = None) -> list[int]:
        return [
            number
            for number, pull in self.pulls.items()
            if pull.client == client and (group is None or pull.group == group)
        ]

    def alive(self, client: NaiveClient, now: float) -> bool:
        return bool(self.waits(client.name) or self.held_by(client.name) or (client.named and now < client.seen + TTL))

    def allowance(self, client: str) -> int:
        return (1 if self.clients[client].slowed else CLIENT_LIMIT) - self.held_by(client)

    def groups_alive(self, now: float) -> set[str]:
        """A client without a name is not alive after its lease, but its group is for as long as others'."""
        return {c.group for c in self.clients.values() if self.alive(c, now) or (not c.named and now < c.seen + TTL)}

    def lane_at(self, partition: NaivePartition, offset: int) -> str | None:
        held = partition.held[offset]
        return self.lane_of(key_of(offset, held.size), held.group)

    def servable(self) -> list[tuple[str, str]]:
        """(client, group) of whoever waits and may be given something."""
        return [
            (client, group)
            for group in self.shares
            for client in self.clients
            if self.waits(client, group) and self.allowance(client) > 0
        ]

    def others_wait(self, client: str, group: str) -> bool:
        """Of its own group: it may be long until another one's turn."""
        return any(other != client and of == group for other, of in self.servable())

    def add_pull(self, now: float, number: int, pull: Pull, *, named: bool) -> None:
        known = self.clients.get(pull.client)
        if known is None or not self.alive(known, now):
            known = self.clients[pull.client] = NaiveClient(pull.client, named, now, pull.group)
        known.seen, known.group = now, pull.group
        if pull.group not in known.joined:
            known.joined[pull.group] = next(self._joins)
        self.pulls[number] = pull
        if pull.group not in self.came:
            self.came.append(pull.group)

    def cancel_pull(self, number: int, now: float) -> None:
        if number in self.pulls:
            self.clients[self.pulls.pop(number).client].seen = now

    # Handing out -----------------------------------------------------------------------------------------------------

    def serve(self, now: float) -> list[tuple[int, list[LeaseRef]]]:
        handouts = []
        if self.paused:
            return []
        while self.pulls and (handout := self._serve_next(now)):
            handouts.append(handout)
        return handouts

    def _serve_next(self, now: float) -> tuple[int, list[LeaseRef]] | None:
        self.look_at_shares(now)
        waiting = sorted({group for _, group in self.servable()}, key=self.came.index)
        for group in waiting:
            handout = self._serve_one(group, (group,), 1_000_000, now)
            if handout is not None:
                return handout
        for group in self.turns():
            handout = self._serve_one(group, (None,), self.most(group), now)
            if handout is not None:
                self.batches[handout[1][0].batch].counted_in = self.round
                self.had(group, len(handout[1]), waiting)
                return handout
        return None

    def _serve_one(self, group: str, lanes: LanesTaken, most: int, now: float) -> tuple[int, list[LeaseRef]] | None:
        last = self.last_served.get(group, 0)
        waiting = [self.clients[name] for name, wanted in self.servable() if wanted == group]
        for client in sorted(waiting, key=lambda c: (c.joined[group] <= last, c.joined[group])):
            number = min(self.waits(client.name, group))
            pull = self.pulls[number]
            taken = self._take(pull, lanes, most, now)
            if taken:
                del self.pulls[number]
                client.seen = now
                self.last_served[group] = client.joined[group]
                return number, self._lease(pull, taken, now)
        return None

    def _take(self, pull: Pull, lanes: LanesTaken, most: int, now: float) -> list[tuple[int, int]]:
        limit = min(pull.max_messages, self.allowance(pull.client), most)
        room = pull.max_bytes
        taken: list[tuple[int, int]] = []
        over = False

        def take_from(number: int, offsets: list[int]) -> None:
            nonlocal room, over
            partition = self.partitions[number]
            for offset in offsets:
                size = partition.held[offset].size
                alone = partition.failures.get(offset, 0) + 1 >= ALONE_FROM
                if over or len(taken) == limit or (taken and (size > room or alone)):
                    return
                taken.append((number, offset))
                room -= size
                over = alone

        for number, partition in self.partitions.items():
            if not partition.suspended:
                for lane in lanes:
                    offsets = [o for o in partition.at(Place.RETURNED) if self.lane_at(partition, o) == lane]
                    take_from(number, [o for o in offsets if self._may_have(partition, o, pull, now)])
        for number in list(self.turn):
            if over or len(taken) == limit or (taken and room <= 0):
                break
            partition = self.partitions[number]
            before = len(taken)
            if not partition.suspended:
                fresh = partition.at(Place.FRESH)
                take_from(number, [offset for offset in fresh if self.lane_at(partition, offset) in lanes])
            whose, count = self.in_a_row
            count = len(taken) - before + (count if whose == number else 0)
            ends = len(taken) < limit or over or count >= IN_A_ROW
            if ends:
                self.turn.remove(number)
                self.turn.append(number)
            if len(taken) > before:
                self.in_a_row = (-1, 0) if ends else (number, count)
        return taken

    def _may_have(self, partition: NaivePartition, offset: int, pull: Pull, now: float) -> bool:
        held = partition.held[offset]
        if self.clients[pull.client].in_doubt:
            if held.client is not None and now < held.at:
                return False
            waiting = [self.clients[client] for client, group in self.servable() if group == pull.group]
            if any(not client.in_doubt and client.name != held.client for client in waiting):
                return False
        return held.client != pull.client or (now >= held.at and not self.others_wait(pull.client, pull.group))

    def _lease(self, pull: Pull, taken: list[tuple[int, int]], now: float) -> list[LeaseRef]:
        batch = next(self._new_batch)
        refs = []
        for number, offset in taken:
            partition = self.partitions[number]
            held = partition.held[offset]
            held.place, held.client, held.batch, held.at = Place.IN_FLIGHT, pull.client, batch, now + pull.ack_wait
            held.group = pull.group
            count = partition.failures.get(offset, 0) + 1
            self.counts["delivered"] += 1
            self.counts["redelivered"] += count > 1
            self.clients[pull.client].counts["delivered"] += 1
            refs.append(LeaseRef(number, partition.era, offset, count, batch))
        self.batches[batch] = NaiveBatch(pull.client, refs)
        return refs

    # Ends of leases --------------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        for partition in self.partitions.values():
            for offset in sorted(partition.held):
                held = partition.held[offset]
                if held.at > now:
                    continue
                if held.place is Place.IN_FLIGHT and held.client is not None:
                    client = self.clients[held.client]
                    client.counts["expired"] += 1
                    client.in_vain += 1
                    client.in_doubt = True
                    client.slowed = client.slowed or client.in_vain >= HOARDING
                    self.counts["expired"] += 1
                    self.fail(partition, offset, now, 0.0)
                elif held.place is Place.DELAYED:
                    held.place, held.at = Place.RETURNED, now
                if held.place is Place.ASLEEP and held.at <= now:
                    held.due = True

    def fail(self, partition: NaivePartition, offset: int, now: float, delay: float) -> None:
        held = partition.held[offset]
        assert held.client is not None
        self.clients[held.client].seen = now
        held.failed_in = held.group
        partition.failures[offset] = partition.failures.get(offset, 0) + 1
        if partition.failures[offset] >= MAX_DELIVER:
            held.place = Place.SPENT
            if held.bodiless:
                self.fall_asleep(held, now, now)
                held.given_up = True
        elif held.bodiless:
            self.fall_asleep(held, now + delay, now + delay if delay > 0 else now + OTHER_CLIENT_WAIT)
        elif delay > 0:
            if delay > LONG_DELAY:
                self.fall_asleep(held, now + delay, now + delay)
            else:
                held.place, held.at = Place.DELAYED, now + delay
        else:
            held.place, held.at = Place.RETURNED, now + OTHER_CLIENT_WAIT

    @staticmethod
    def fall_asleep(held: Held, due: float, barred_until: float) -> None:
        held.place, held.at, held.barred_until = Place.ASLEEP, due, barred_until
        held.due = held.reading = False

    def take_back(self, held: Held, now: float) -> None:
        """As if it had never been handed out."""
        held.place, held.client, held.group, held.at = Place.RETURNED, None, held.failed_in, now
        if held.bodiless:
            self.fall_asleep(held, now, now)
        self.counts["released"] += 1

    def release(self, batch: int, now: float) -> None:
        for ref in self.batches[batch].refs:
            held = self.held_in_answer(ref)
            if held is not None and held.client is not None:
                self.clients[held.client].seen = now
                if self.batches[batch].counted_in == self.round:
                    self.had_not(held.group, 1)
                self.take_back(held, now)

    def held_under(self, ref: LeaseRef) -> Held | None:
        """The message of a lease, if it is under exactly this lease still."""
        partition = self.partitions.get(ref.partition)
        if partition is None or partition.era != ref.era:
            return None
        held = partition.held.get(ref.offset)
        return held if held is not None and held.place is Place.IN_FLIGHT and held.batch == ref.batch else None

    def held_in_answer(self, ref: LeaseRef) -> Held | None:
        """The same, but not if the lease has gone from one owner to the next: then its answer is forgotten."""
        held = self.held_under(ref)
        return held if held is not None and not held.bodiless else None

    def batch_lives(self, batch: int) -> bool:
        return batch in self.batches and any(self.held_in_answer(ref) for ref in self.batches[batch].refs)
