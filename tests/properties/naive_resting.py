"""What rests, on paper: messages asleep, messages given up on, clients that leave, owners, and why there is nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fanout_app.core.requests import Empty, Pull
from properties.naive_queue import BUFFER_BYTES, Held, NaivePartition, Place
from properties.naive_settling import NaiveSettlingQueue

#: Partition, era, offset, delivery count and last client.
Given = tuple[int, int, int, int, str]


class NaiveWholeQueue(NaiveSettlingQueue):
    """All of it."""

    def bytes_held(self) -> int:
        return sum(held.weight() for partition in self.partitions.values() for held in partition.in_memory().values())

    def someone_alive(self, now: float) -> bool:
        return any(self.alive(client, now) for client in self.clients.values())

    def wants(self, number: int, now: float) -> bool:
        partition = self.partitions[number]
        shut = self.paused or partition.suspended or partition.full() or self.bytes_held() >= BUFFER_BYTES
        return self.someone_alive(now) and not shut

    def why_empty(self, pull: Pull, now: float) -> Empty:
        partitions = self.partitions.values()
        behind = [partition for partition in partitions if partition.log_end > partition.next_offset]
        if self.paused:
            return Empty.PAUSED
        if pull.group not in self.present(now, pull.group):
            return Empty.WEIGHT_ZERO
        if pull.client in self.clients and self.allowance(pull.client) <= 0:
            return Empty.CLIENT_LIMIT
        if not partitions or any(partition.suspended for partition in partitions):
            return Empty.MOVING
        if self.bytes_held() >= BUFFER_BYTES or (behind and all(map(NaivePartition.full, behind))):
            return Empty.BUFFER_FULL
        return Empty.NO_MESSAGE

    # Asleep ----------------------------------------------------------------------------------------------------------

    def to_read(self, most: int, now: float) -> dict[int, list[int]]:
        """Where the buffer is full, only what others may wait for when nothing else of its partition can go out."""
        if self.paused or not self.someone_alive(now):
            return {}
        full = self.bytes_held() >= BUFFER_BYTES
        found = {}
        for number, partition in self.partitions.items():
            if full and (not partition.at(Place.BLOCKED) or partition.at(Place.FRESH, Place.RETURNED)):
                continue
            due = [o for o in partition.at(Place.ASLEEP) if partition.held[o].due and not partition.held[o].reading]
            if due and not partition.suspended:
                found[number] = due[:most]
                for offset in found[number]:
                    partition.held[offset].reading = True
        return found

    def _being_read(self, number: int, offsets: Collection[int]) -> list[tuple[int, Held]]:
        held = self.partitions[number].held if number in self.partitions else {}
        return [(offset, held[offset]) for offset in offsets if offset in held and held[offset].reading]

    def awake(self, number: int, era: int, offsets: Collection[int], found: Collection[int], now: float) -> int:
        lost = 0
        for offset, held in self._being_read(number, offsets):
            partition = self.partitions[number]
            if partition.era != era:
                continue
            if offset in found:
                held.place, held.at, held.reading = Place.RETURNED, max(now, held.barred_until), False
                held.bodiless = False
                if held.given_up:
                    held.place = Place.SPENT
            elif offset >= partition.next_offset:
                del partition.held[offset]
            else:
                partition.settle(offset)
                lost += 1
        self.counts["lost_to_retention"] += lost
        return lost

    def not_read(self, number: int, offsets: Collection[int]) -> None:
        for _, held in self._being_read(number, offsets):
            held.reading = False

    # Given up on -----------------------------------------------------------------------------------------------------

    def spent(self) -> Mapping[Given, Held]:
        return {
            (number, partition.era, offset, partition.failures[offset], held.client or ""): held
            for number, partition in self.partitions.items()
            for offset, held in partition.held.items()
            if held.place is Place.SPENT
        }

    def put_away(self, given: Given, held: Held) -> bool:
        number, _, offset, _, _ = given
        partition = self.partitions.get(number)
        if partition is None or partition.held.get(offset) is not held:
            return False
        partition.settle(offset)
        self.counts["dead_lettered"] += 1
        return True

    # Clients ---------------------------------------------------------------------------------------------------------

    def leave(self, name: str, now: float) -> list[int] | None:
        client = self.clients.get(name)
        if client is None or not self.alive(client, now):
            return None
        pulls = self.waits(name)
        for number in pulls:
            del self.pulls[number]
        for partition in self.partitions.values():
            for held in partition.held.values():
                if held.place is Place.IN_FLIGHT and held.client == name:
                    self.take_back(held, now)
        del self.clients[name]
        return pulls
