"""Whom everybody follows, and the vote that deposes a leader who is not heard any more.

Rules for this file: the board's own order is the only truth. What is told here was read from the board, in its order,
our own heartbeats included; a smaller epoch than one that was heard already is ignored. Whether the leader is
silent is judged by two of our own heartbeats: the second was sent ``timeout`` seconds or more after the first had been
read back, and none of the leader's stands between them. So a board that is slow, or read late in one piece, makes
nobody silent, and no wall clock is asked.

Epochs only grow while whoever hands them out lives on. A ZooKeeper that was made anew begins at the bottom again, so an
epoch that nobody has been heard in for a minute (`FORGET_AFTER`) is forgotten, or such a cluster would never again have
a leader that anyone follows. That is far longer than any record is under way.

The vote only starts a change: who leads is decided by the lock alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fanout_app.core.roster import Heartbeat

FORGET_AFTER = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The leader's sign of life."""

    worker: str
    #: Where it answers, as ``http://host:port``.
    address: str
    epoch: int


class Following:
    """What one worker knows of the leader. Times are seconds of its monotonic clock."""

    def __init__(self, me: str, timeout: float) -> None:
        self._me = me
        self._timeout = timeout
        self._latest: Leader | None = None
        self._known_at = float("-inf")
        self._heard_at = float("-inf")
        self._reference: float | None = None
        self._missed = False
        #: How often another worker than before was followed.
        self.changes = 0

    @property
    def epoch(self) -> int | None:
        """The highest epoch heard; None before the first."""
        return self._latest.epoch if self._latest is not None else None

    @property
    def misses_epoch(self) -> int | None:
        """What our heartbeats say: the epoch whose leader is silent as far as we can tell."""
        return self.epoch if self._missed else None

    def heard(self, now: float, leader: Leader) -> bool:
        """The leader's record was read. False: it is of an epoch that is over, and changes nothing."""
        if self._is_over(now, leader.epoch):
            return False
        if self._latest is not None:
            self.changes += leader.worker != self._latest.worker
        self._latest = leader
        self._known_at = self._heard_at = now
        self._reference = None
        self._missed = False
        return True

    def heard_before(self, now: float, leader: Leader) -> None:
        """A record that stood on the board when we began to read: its epoch counts, its writer may be long gone."""
        if not self._is_over(now, leader.epoch):
            self._latest = leader
            self._known_at = now

    def _is_over(self, now: float, epoch: int) -> bool:
        return self._latest is not None and epoch < self._latest.epoch and now < self._known_at + FORGET_AFTER

    def read_back(self, now: float, sent_at: float) -> None:
        """One of our own heartbeats, which was sent at ``sent_at``, was read."""
        if self._reference is None:
            self._reference = now
        elif sent_at >= self._reference + self._timeout:
            self._missed = self._latest is not None

    def leader(self, now: float) -> Leader | None:
        """Who leads now; None where nobody has been heard for ``timeout`` seconds."""
        return self._latest if now < self._heard_at + self._timeout else None

    def to_depose(self, heard: Sequence[Heartbeat]) -> int | None:
        """The epoch whose lock node we are to delete, if it is for us to do so.

        That is so when a majority of the workers heard lately (``heard``, ourselves included) miss the same epoch as
        we do, and our name is the lowest among those who miss it.
        """
        epoch = self.misses_epoch
        if epoch is None:
            return None
        missing = {one.worker for one in heard if one.misses_epoch == epoch and one.worker != self._me} | {self._me}
        everybody = {one.worker for one in heard} | {self._me}
        if 2 * len(missing) <= len(everybody) or min(missing) != self._me:
            return None
        return epoch
