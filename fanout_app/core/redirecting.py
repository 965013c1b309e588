"""Where a pull is sent on to in redirect mode: to the leader, and from there to whoever has most for it.

Nobody's word is trusted for where a pull has been: how often it was sent on stands in its address, which a client may
write itself. Each step counts up, and at the most the pull is served where it is, so there is no loop however the views
of workers differ while leadership moves. A client that writes a number of its own spares itself redirects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fanout_app.core.following import Leader
from fanout_app.core.roster import Heartbeat

#: How often one pull is sent on.
MOST: Final = 2


class Redirecting:
    """The choice of one worker."""

    def __init__(self, me: str) -> None:
        self._me = me
        #: Worker -> its latest heartbeat's time of sending, and how many pulls were sent to it since.
        self._sent: dict[str, tuple[float, int]] = {}

    def target(self, redirects: int, leader: Leader | None, present: Iterable[Heartbeat]) -> str | None:
        """The address to send a pull to that was sent on ``redirects`` times already; None: it is served here."""
        workers = {one.worker: one for one in present}
        if redirects >= MOST or leader is None or leader.worker not in workers:
            return None
        if leader.worker != self._me:
            return leader.address
        chosen = max(workers.values(), key=lambda one: (self._share(one), one.worker == self._me))
        if chosen.worker == self._me:
            return None
        self._sent[chosen.worker] = (chosen.sent_at, self._sent_to(chosen) + 1)
        return chosen.address

    def _share(self, one: Heartbeat) -> float:
        """Messages for each client, this one included."""
        return one.waiting_messages / (one.waiting_pulls + self._sent_to(one) + 1)

    def _sent_to(self, one: Heartbeat) -> int:
        """Pulls that its heartbeat does not know of yet: without them all of half a second would go to one worker."""
        at, count = self._sent.get(one.worker, (one.sent_at, 0))
        return count if at == one.sent_at else 0
