"""Which of the records on the board holds, for one who reads them in order, and whether a leader has to write again.

A leader writes with its epoch and does so only while it leads, as far as it knows; one that was stopped in between
writes late. So a record of a smaller epoch than another one before it counts for nothing, and since compaction would
keep just that one, whoever leads writes what holds once more. Epochs begin at the bottom again where a ZooKeeper was
made anew: one that is followed now counts, whatever there was before (`fanout_app.core.following`).
"""

from __future__ import annotations

from fanout_app.core.canary import CanaryState
from fanout_app.core.canary_row import CanaryRecord


class CanaryBoard:
    """What one worker has read."""

    def __init__(self) -> None:
        #: What holds.
        self.record = CanaryRecord(0, CanaryState())
        #: What stands on the board; another one than what holds, if it was written by somebody who led no more.
        self.latest: CanaryRecord | None = None

    @property
    def state(self) -> CanaryState:
        return self.record.state

    def read(self, record: CanaryRecord, followed: int | None) -> bool:
        """A record was read; ``followed`` is the epoch of the leader that is heard now, if one is.

        Returns:
            Whether what holds is another state than before.
        """
        self.latest = record
        return self.look(followed)

    def told(self, record: CanaryRecord) -> bool:
        """The leader says that this holds, before it was read here. Returns as `read` does."""
        before = self.record
        if record.rank > before.rank:
            self.record = record
        return before.state != self.record.state

    def look(self, followed: int | None) -> bool:
        """Judge what stands there once more: another leader is heard. Returns as `read` does."""
        record = self.latest
        if record is None or not self._counts(record, followed):
            return False
        before = self.record
        self.record = record
        return before.state != record.state

    def _counts(self, record: CanaryRecord, followed: int | None) -> bool:
        if followed is not None and followed < self.record.epoch:
            return record.epoch == followed
        return record.rank >= self.record.rank

    def to_write(self, epoch: int) -> CanaryRecord | None:
        """What the leader of this epoch has to write for its word to be the last one; None: it is.

        It must have read all that stood on the board when it began to lead.
        """
        due = CanaryRecord(epoch, self.state)
        return None if self.latest == due else due
