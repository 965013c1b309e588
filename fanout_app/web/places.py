"""How many connections may be open, and which of them gives way to a new one."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Placed(Protocol):
    """Who has a place."""

    def force_close(self) -> None:
        """It is for somebody else."""


C = TypeVar("C", bound=Placed)


class Places(Generic[C]):
    """Everybody who has a place is busy or idle. A new one takes the place of whoever has been idle for longest."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: set[C] = set()
        #: Oldest first.
        self._idle: dict[C, None] = {}

    def take(self, one: C) -> C | None:
        """Give ``one`` a place. Returns who had it before and has none now, if it was not free.

        Raises:
            LookupError: there is none: all are busy.
        """
        gone = None
        if len(self._taken) >= self.most:
            gone = next(iter(self._idle), None)
            if gone is None:
                raise LookupError
            self.leave(gone)
        self._taken.add(one)
        self._idle[one] = None
        return gone

    def busy(self, one: C) -> None:
        self._idle.pop(one, None)

    def idle(self, one: C) -> None:
        if one in self._taken:
            self._idle.pop(one, None)
            self._idle[one] = None

    def leave(self, one: C) -> None:
        """Nothing happens where it has no place."""
        self._taken.discard(one)
        self._idle.pop(one, None)
