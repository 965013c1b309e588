"""Who asks: what the token that a request bears allows, whichever worker the request has come to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What one may do; `docs/api.md` says which role each address asks for."""

    CONSUME = "consume"
    METRICS = "metrics"
    #: Everything, what the other roles may do included.
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What is known of whoever bears a token. It may be told to other workers and logged: the token is not in it."""

    roles: frozenset[Role]
    #: The only group that it may pull for, if it is fixed to one.
    group: str | None = None
    #: What whoever runs the workers calls it; several tokens may have the same.
    name: str = ""

    def may(self, role: Role) -> bool:
        return role in self.roles or Role.ADMIN in self.roles


#: Whoever asks a worker that asks for no token.
ANYONE: Final = Identity(roles=frozenset({Role.ADMIN}))
