"""Who has which slot of a partition, at its owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fanout_app.core.errors import GroupsFullError
from fanout_app.core.group_row import SLOTS, Slot


class Seat(NamedTuple):
    """A slot, and by which of its claims a group has it."""

    number: int
    claim: int


class Slots:
    """The slots of one partition."""

    def __init__(self, slots: Mapping[int, Slot]) -> None:
        #: Also of claims of which it is not known whether the changelog has them.
        self._claims = {number: slot.claim for number, slot in slots.items()}
        self._seats = {slot.group: Seat(number, slot.claim) for number, slot in slots.items() if slot.group}

    def of(self, group: str) -> Seat | None:
        return self._seats.get(group)

    def take(self, group: str) -> Seat:
        """Claim a slot for a group that has none. Raises GroupsFullError: all of them are taken."""
        taken = {seat.number for seat in self._seats.values()}
        number = next((number for number in range(SLOTS) if number not in taken), None)
        if number is None:
            raise GroupsFullError(f"{SLOTS} groups have a ledger of their own already: wait until one of them has gone")
        seat = self._seats[group] = self._claim(number)
        return seat

    def free(self, group: str) -> Seat | None:
        """Claim the slot of a group for nobody; None if it has none."""
        seat = self._seats.pop(group, None)
        return None if seat is None else self._claim(seat.number)

    def _claim(self, number: int) -> Seat:
        self._claims[number] = self._claims.get(number, 0) + 1
        return Seat(number, self._claims[number])
