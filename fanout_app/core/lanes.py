"""Which group may have a message: the lane it waits in.

Lane None is for whoever's turn it is. By message all wait there, but for what a canary has failed, which is for
`STABLE`. By key each key has a group, whose lane its messages wait in; those without a key wait in None.

The group of a key is found by weighted rendezvous: each group draws a number for it, the same one every time, larger
ones with more weight, and the largest wins. So a group has its share of the keys, all workers agree without a word, and
where one weight is raised keys only go over to that group: no other draws anything new. What is drawn for is not the
key but its slot, one of 65,536, so that a message costs one look at a table however many groups there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import blake2b
from math import log
from typing import Literal
from zlib import crc32

from fanout_app.core.message import Message
from fanout_app.core.shares import STABLE

By = Literal["message", "key"]
Lane = str | None

_SLOTS = 1 << 16


class Lanes:
    """The lanes by these weights while these groups are `present` (see `fanout_app.core.shares`)."""

    def __init__(self, weights: Mapping[str, int], present: Collection[str], by: By = "message") -> None:
        self.by_key = by == "key"
        self._present = frozenset(present)
        self._owners = _owners(tuple(sorted((group, weight) for group, weight in weights.items() if weight)))

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
        return self._owners.of(key)


class _Owners:
    """The groups of all keys by these weights, none of them 0."""

    def __init__(self, weights: tuple[tuple[str, int], ...]) -> None:
        self._weights = weights
        self._of_slot: list[str | None] = [None] * _SLOTS

    def of(self, key: bytes) -> str | None:
        # The upper half: producers choose partitions by the rest of a division of the same sum.
        slot = crc32(key) >> 16
        group = self._of_slot[slot]
        if group is None and self._weights:
            group = self._of_slot[slot] = min(self._weights, key=lambda one: _wait(slot, *one))[0]
        return group


def _wait(slot: int, group: str, weight: int) -> float:
    """What is drawn: u ** (1 / weight) of an even u, on the scale of its negated logarithm, so that the least wins."""
    drawn = int.from_bytes(blake2b(b"%d %s" % (slot, group.encode()), digest_size=8).digest())
    return -log((drawn + 0.5) / 2.0**64) / weight


#: When somebody of a group comes or goes the weights are those of before.
_owners = lru_cache(maxsize=16)(_Owners)

#: Before anybody has said anything.
BY_MESSAGE = Lanes({STABLE: 100}, (STABLE,))
