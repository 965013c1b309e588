"""Whether this worker may act as the leader: its right ends by time, before anybody else's can begin.

Rules for this file: nothing counts but the monotonic clock. The election (`fanout_app.ports.Election`) decides who
leads; here is decided until when the answer to a question may be relied on. A question is counted from when it was
*sent*: whoever holds the lock when it is answered held it then, and may have lost it since.

Why no two act at once: the lock passes on at some moment D. The old leader asked before D and acts until less than one
lease after it; the new one got its first answer after D and waits one lease from there. What a worker does that was
stopped between the look at its right and the act itself, nothing here can prevent: those who read it ignore the smaller
epoch (`fanout_app.core.following`).
"""

from __future__ import annotations

_NEVER = float("-inf")


class Leadership:
    """The right of one worker. Times are seconds of its monotonic clock."""

    def __init__(self, lease: float, timeout: float) -> None:
        """A right lasts ``lease`` seconds from the last question; who cannot use it gives it up after ``timeout``."""
        self._lease = lease
        self._timeout = timeout
        #: The epoch that the election gave to us, until it is known that it is over.
        self.epoch: int | None = None
        self._asked_at = _NEVER
        self._acts_from = _NEVER
        self._since = _NEVER
        self._suspended_at = _NEVER

    def answered(self, now: float, asked_at: float, epoch: int | None) -> None:
        """The election's answer to a question sent at ``asked_at``: the epoch in which we lead, or None.

        An answer that is older than a suspension says nothing any more.
        """
        if asked_at < self._suspended_at:
            return
        if epoch != self.epoch:
            self.epoch = epoch
            self._since = now
            self._acts_from = now + self._lease
        self._asked_at = asked_at

    def suspended(self, now: float) -> None:
        """The election cannot be reached: what it said before does not count any more."""
        self._suspended_at = now
        self._asked_at = _NEVER

    def may_act(self, now: float, acknowledged_at: float) -> bool:
        """Looked at before every act and every answer.

        ``acknowledged_at`` is when the last of our heartbeats that Kafka has acknowledged was sent: one that cannot be
        heard must not lead.
        """
        return (
            self.epoch is not None
            and now >= self._acts_from
            and now < self._asked_at + self._lease
            and now < acknowledged_at + self._lease
        )

    def should_resign(self, now: float, acknowledged_at: float) -> bool:
        """It holds a right that it cannot use, since nobody hears it; others could.

        They miss an epoch only that they have heard of (see `fanout_app.core.following`), so one that never got as far
        as its first act has to make room by itself.
        """
        return self.epoch is not None and now >= max(self._since, acknowledged_at) + self._timeout
