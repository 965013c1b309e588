"""Which group may have a message: the lane it waits in.

Lane None is for whoever's turn it is. By message all wait there, but for what a canary has failed, which is for
`STABLE`. By key each key has a group, whose lane its messages wait in; those without a key wait in None.

The group of a key is found by weighted rendezvous: each group draws a number for the key, the same one every time,
larger ones with more weight, and the largest wins. So a group has its share of the keys, all workers agree without
a word, and where one weight is raised keys only go over to that group: no other draws anything new.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b
from math import log
from typing import Literal

from fanout_app.core.message import Message
from fanout_app.core.shares import STABLE

By = Literal["message", "key"]
Lane = str | None

_HALF = 0.5
_ALL = 2.0**64


class Lanes:
    """The lanes by these weights while these groups are `present` (see `fanout_app.core.shares`)."""

    def __init__(self, weights: Mapping[str, int], present: Collection[str], by: By = "message") -> None:
        self.by_key = by == "key"
        self._present = frozenset(present)
        self._weights = [
            (group, blake2b(group.encode()), weight) for group, weight in sorted(weights.items()) if weight
        ]

    def of(self, message: Message) -> Lane:
        """That of a message which nobody has failed."""
        if not self.by_key or message.key is None:
            return None
        group = self.group_of(message.key)
        return group if group is None or group in self._present else STABLE

    def of_failed(self, message: Message, group: str) -> Lane:
        """That of one which a client of this group has failed; empty if nobody has."""
        if group not in ("", STABLE) and STABLE in self._present:
            return STABLE
        return self.of(message)

    def group_of(self, key: bytes) -> str | None:
        """The group of a key, whether or not anybody of it is there; None if no group has a weight."""
        weights = self._weights
        if len(weights) < 2:
            return weights[0][0] if weights else None
        best, least = None, float("inf")
        for group, seeded, weight in weights:
            drawn = seeded.copy()
            drawn.update(key)
            # u ** (1 / weight) of an even u, on the scale of its negated logarithm.
            wait = -log((int.from_bytes(drawn.digest()[:8]) + _HALF) / _ALL) / weight
            if wait < least:
                best, least = group, wait
        return best

    def open_to(self, group: str) -> tuple[Lane, ...]:
        """The lanes from which a group takes what its turn brings it."""
        return (STABLE, None) if group == STABLE and not self.by_key else (None,)


#: Before anybody has said anything.
BY_MESSAGE = Lanes({STABLE: 100}, (STABLE,))
