"""Tokens that are not one's own: those that others hold, and those that no worker ever gave."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass

from fanout_app.core.requests import LeaseRef
from fanout_app.lease_keys import LeaseKeys
from fanout_app.web.tokens import TokenCodec

#: The latest of what was handed out and is not settled, as far as anybody knows.
_KEPT = 300
#: Where the part of a token ends that many leases of one pull share.
_HEAD = 40


@dataclass(frozen=True, slots=True)
class Held:
    """A message that was handed to somebody."""

    token: str
    #: 0 where the token is forged.
    lease: int
    delivery_count: int
    #: In which way, if it is.
    forged: str = ""


class Pool:
    """What the clients of a history hold, with their names."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[str, Held]] = {}

    def add(self, client: str, held: Held) -> None:
        self._held[held.lease] = (client, held)
        while len(self._held) > _KEPT:
            del self._held[next(iter(self._held))]

    def settled(self, held: Held) -> None:
        self._held.pop(held.lease, None)

    def of_others(self, client: str) -> list[Held]:
        return [held for name, held in self._held.values() if name != client]


def forgeries(genuine: list[Held], dice: random.Random) -> list[Held]:
    """A few, made of tokens that were handed out; none of them is a token that anybody was given."""
    given = {held.token for held in genuine}
    one, other = dice.choice(genuine).token, dice.choice(genuine).token
    at = dice.randrange(len(one))
    changed = one[:at] + ("A" if one[at] != "A" else "B") + one[at + 1 :]
    joined = one[:_HEAD] + other[_HEAD:]
    made = {
        changed: "damaged",
        one[:-4]: "cut short",
        joined: "joined of two",
        _OTHERS.lease(LeaseRef(0, 0, dice.randrange(100), 1, 1)): "of another id and topic",
    }
    # Two leases of one pull that are one lease are no forgery.
    return [Held(token, 0, 0, how) for token, how in made.items() if token not in given]


_OTHERS = TokenCodec(LeaseKeys([secrets.token_bytes(32)]), "another-id", "another-topic")
