"""Parked messages: rejected or given up on, kept in a topic of our own until somebody sends them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

#: The last header of a message in the topic that is for one group alone, which has been handed it before and gave up.
REDRIVEN_FOR = "fanout-redriven-for"


def address(id: str, topic: str, group: str = "") -> bytes:
    """What that header holds. Without a group it is what those of all groups of this id and topic begin with."""
    return f"{id}/{topic}/{group}".encode()


class ParkedMessage(NamedTuple):
    """One message, with where it came from and why it is here."""

    #: Its offset in the parked topic, which is its name.
    parked: int
    #: Of origin, as the two that follow.
    partition: int
    offset: int
    #: Milliseconds since 1970, as ``parked_at``.
    timestamp: int
    parked_at: int
    #: Deliveries before it was given up on.
    delivery_count: int
    reason: str
    #: Who had it last; empty where nobody had.
    client: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    #: With broadcast: which group gave up on it, and is to have it back; empty: nobody's alone.
    group: str = ""


class Redriven(NamedTuple):
    """What became of a redrive."""

    #: Messages that were written back to the topic, each to its partition of origin.
    redriven: int
    #: Names that no message is parked under, any more or ever.
    not_found: list[int]
    #: Messages that stay because their group is not there; None where groups have no ledgers of their own.
    no_group: list[int] | None = None


class Parked(Protocol):
    """The parked messages of one id and topic."""

    async def list(self, limit: int, after: int) -> Sequence[ParkedMessage]:
        """Up to ``limit`` messages whose name is above ``after``, ascending; -1 begins at the first.

        Raises:
            UnavailableError: Kafka does not answer.
        """

    async def redrive(self, parked: Sequence[int] | None) -> Redriven:
        """Write these, or all, back to the topic, and forget each once that is acknowledged.

        Raises:
            UnavailableError: Kafka does not answer; some of them may be back, none is lost.
        """
