"""Which group is next: each has its share of the messages by its weight, spread evenly, and none has more than that.

Every message raises the claims of all groups by their weights, and lowers that of the group that was handed it by the
sum of the weights: a claim is what a group is owed, in messages times that sum. So shares are exact over a round and
spread evenly inside it: 3 to 1 is A A B A, not A A A B. The method is known from nginx's upstream balancing (smooth
weighted round robin). Two things differ, for the sake of those who try a new version on a few messages:

- `STABLE` is the baseline. It takes what is not due to another group, and what is due to one of which nobody waits at
  the moment; that one is owed it for a while (`CREDIT`). Nobody takes what is due to `STABLE`: messages wait for it, or
  a canary would be given all of them whenever the rest is busy.
- A group other than `STABLE` is handed no more at a time than it is owed, whatever it asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from heapq import heapify, heappop, heappush

STABLE = "stable"
#: What the weights add up to as long as nobody says otherwise, so that they are percents.
WHOLE = 100
#: Messages that a group is owed at most of which nobody waits. It is for the moment between an ack and the next pull:
#: who takes less than its share for long is not given all that it has missed at once.
CREDIT = 100


def present(weights: Mapping[str, int], alive: Collection[str]) -> dict[str, int]:
    """The weights that count while these groups are ``alive``.

    A group of which no client is alive gives its share to `STABLE`, whose own waits for it; where no group with a
    weight is alive all of it is that of `STABLE`. Empty where all weights are 0: then nobody is handed anything.
    """
    there = {group: weight for group, weight in weights.items() if weight and group in alive and group != STABLE}
    if not there and STABLE not in alive:
        return {STABLE: 1} if any(weights.values()) else {}
    stable = sum(weight for group, weight in weights.items() if group not in there)
    return {**there, STABLE: stable} if stable else there


class Shares:
    """The claims of all groups that have a share.

    Only those are looked at to which a message is due, so that fifty groups cost hardly more than one.
    """

    def __init__(self) -> None:
        #: Which round it is: what was handed out in one counts in no other.
        self.round = 0
        self._weights: dict[str, int] = {}
        self._total = 0
        #: Messages handed out since the round began. A claim is that many weights and what stands in ``_bases``.
        self._messages = 0
        #: Of all but `STABLE`, which needs none.
        self._bases: dict[str, int] = {}
        self._places: dict[str, int] = {}
        #: To whom the next message may be due, and of the others after how many it will be; where `STABLE` has a share.
        self._due: set[str] = set()
        self._later: list[tuple[int, str]] = []

    def use(self, weights: Mapping[str, int]) -> None:
        """Share by these weights, all of them above zero, from now on. Others than before begin a new round."""
        if weights != self._weights:
            self.round += 1
            self._weights = dict(weights)
            self._total = sum(weights.values())
            self._messages = 0
            self._bases = dict.fromkeys((group for group in weights if group != STABLE), 0)
            self._places = {group: place for place, group in enumerate(weights)}
            self._sort()

    def turns(self, waiting: Collection[str]) -> list[str]:
        """Who of those ``waiting`` may be handed a message now, the one whose turn it is first."""
        weights = self._weights
        if len(weights) < 2:
            return [group for group in weights if group in waiting]
        if STABLE not in weights:
            first = max(self._bases, key=self._claim)
            return [first] if first in waiting else []
        while self._later and self._later[0][0] <= self._messages + 1:
            self._due.add(heappop(self._later)[1])
        turns = [group for group in self._due if group in waiting]
        turns.sort(key=lambda group: (-self._claim(group), self._places[group]))
        if STABLE in waiting:
            turns.append(STABLE)
        return turns

    def most(self, group: str, messages: int) -> int:
        """How many of so ``messages`` many a group whose turn it is may be handed at once."""
        if group == STABLE or STABLE not in self._weights:
            return messages
        return min(messages, max(1, (2 * self._claim(group) + self._total) // (2 * self._total)))

    def served(self, group: str, messages: int, waiting: Collection[str]) -> None:
        """This group was handed so many messages while these were ``waiting``."""
        self._count(group, messages)
        if group in self._due and not self._is_due(group):
            self._due.discard(group)
            heappush(self._later, (self._due_at(group), group))
        most = CREDIT * self._total
        for name in self._due if STABLE in self._weights else self._bases:
            if name not in waiting:
                self._bases[name] = min(self._bases[name], most - self._weights[name] * self._messages)

    def came_back(self, group: str, messages: int, handed_out_in: int) -> None:
        """So many that it was handed in this round never reached anybody."""
        if handed_out_in == self.round:
            self._count(group, -messages)
            self._sort()

    def _count(self, group: str, messages: int) -> None:
        self._messages += messages
        if group != STABLE:
            self._bases[group] -= self._total * messages

    def _claim(self, group: str) -> int:
        """What it is owed if the next message is counted."""
        return self._bases[group] + self._weights[group] * (self._messages + 1)

    def _is_due(self, group: str) -> bool:
        return 2 * self._claim(group) > self._total

    def _due_at(self, group: str) -> int:
        """Which message of the round is the first that is due to it."""
        return (self._total - 2 * self._bases[group]) // (2 * self._weights[group]) + 1

    def _sort(self) -> None:
        self._due = {group for group in self._bases if self._is_due(group)}
        self._later = [(self._due_at(group), group) for group in self._bases if group not in self._due]
        heapify(self._later)
