"""Whether this worker is still the owner of its partitions, as far as anyone can know from inside it."""

from __future__ import annotations

from collections.abc import Callable


class Membership:
    """A term of ownership: it ends with the first sign of a rebalance, and cannot be trusted without recent proof.

    The proof is a heartbeat that the coordinator answered without error and that was *sent* less than the session
    timeout, less one second, ago: until then nobody else can have been given our partitions.
    """

    MARGIN = 1.0

    def __init__(self, session_timeout: float, confirmed_at: Callable[[], float]) -> None:
        self._trusted_for = session_timeout - self.MARGIN
        self._confirmed_at = confirmed_at
        self._term = 0
        #: The term whose partitions are known.
        self._assigned = 0
        self._rebalancing = True

    def rebalance_began(self) -> None:
        """Called before anything else happens in a rebalance."""
        self._rebalancing = True
        self._term += 1

    def assigned(self) -> None:
        """The partitions of the term are known. Called while the consumer waits for it."""
        self._assigned = self._term

    def rebalance_ended(self, term: int) -> bool:
        """The partitions of this term are in place; False if another rebalance has begun meanwhile.

        A recovery of the assignment before may end after that: it does not know of the next one until that is made.
        """
        ended = term == self._term == self._assigned
        if ended:
            self._rebalancing = False
        return ended

    def term(self) -> int:
        return self._term

    def holds(self, term: int, now: float) -> bool:
        return term == self._term and not self._rebalancing and self.trusted(now)

    def trusted(self, now: float) -> bool:
        return now < self._confirmed_at() + self._trusted_for
