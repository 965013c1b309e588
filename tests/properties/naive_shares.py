"""Shares on paper: the weights that count, what each group is owed in fractions of messages, and whose a message is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Set
from fractions import Fraction
from math import floor

from fanout_app.core.lanes import By, Lanes

CREDIT = 100
LanesTaken = tuple[str | None, ...]


def key_of(offset: int, size: int) -> bytes | None:
    """That of the message at this offset: one byte of its size, or none."""
    return b"kjihg"[offset * 3 % 5 :][:1] if size and offset % 4 else None


class NaiveShares(ABC):
    def __init__(self) -> None:
        self.weights = {"stable": 100}
        self.by: By = "message"
        self.alive_elsewhere: Set[str] = frozenset()
        #: What counts of them, since when, and what each group is owed by it, in messages.
        self.shares: dict[str, int] = {}
        self.owed: dict[str, Fraction] = {}
        #: Which time it is that others count; at first none do.
        self.round = 0

    @abstractmethod
    def groups_alive(self, now: float) -> set[str]:
        """Of which somebody is there."""

    @abstractmethod
    def servable(self) -> list[tuple[str, str]]:
        """(client, group) of whoever waits and may be given something."""

    def present(self, now: float, *also: str) -> dict[str, int]:
        """A share goes over to stable, and to nobody else."""
        alive = self.groups_alive(now).union(also, self.alive_elsewhere)
        if not any(self.weights.values()):
            return {}
        there = {group: weight for group, weight in self.weights.items() if weight and group in alive}
        if not there:
            return {"stable": 1}
        there.pop("stable", None)
        gone_over = sum(self.weights.values()) - sum(there.values())
        return {**there, "stable": gone_over} if gone_over else there

    def look_at_shares(self, now: float) -> None:
        shares = self.present(now)
        if shares != self.shares:
            self.round += 1
            self.shares, self.owed = shares, {group: Fraction(0) for group in shares}

    def share(self, group: str) -> Fraction:
        return Fraction(self.shares[group], sum(self.shares.values()))

    def turns(self) -> list[str]:
        """A message is due to another group than stable when it brings that nearer to what it is owed."""
        waiting = {group for _, group in self.servable()}
        if len(self.shares) == 1:
            return [group for group in self.shares if group in waiting]
        if "stable" not in self.shares:
            first = max(self.shares, key=lambda group: self.owed[group] + self.share(group), default="")
            return [first] if first in waiting else []
        due = [g for g in self.shares if g != "stable" and self.owed[g] + self.share(g) > Fraction(1, 2)]
        due.sort(key=lambda group: -self.owed[group] - self.share(group))
        return [group for group in (*due, "stable") if group in waiting]

    def most(self, group: str) -> int:
        if group == "stable" or "stable" not in self.shares:
            return 1_000_000
        return max(1, floor(self.owed[group] + self.share(group) + Fraction(1, 2)))

    def had(self, group: str, messages: int, waiting: Collection[str]) -> None:
        for other in self.shares:
            self.owed[other] += messages * self.share(other) - (messages if other == group else 0)
            if other not in waiting:
                self.owed[other] = min(self.owed[other], Fraction(CREDIT))

    def had_not(self, group: str, messages: int) -> None:
        for other in self.shares:
            self.owed[other] -= messages * self.share(other) - (messages if other == group else 0)

    def lane_of(self, key: bytes | None, failed_in: str) -> str | None:
        """Whose it is: what another group failed is stable's; by key its key's group's, or stable's if that is away."""
        if failed_in not in ("", "stable") and "stable" in self.shares:
            return "stable"
        if self.by == "message" or key is None or not self.shares:
            return None
        group = Lanes(self.weights, ()).group_of(key)
        return group if group in self.shares else "stable"
