"""What one ledger group needs: a queue, and what serves it, writes its ledgers and puts away what it has given up on.

Its parts tell each other through it what may have changed: each of them knows of the others what it needs itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from fanout_app.core.ages import Ages
from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.requests import Empty, SettleOutcome
from fanout_app.dead_lettering import DeadLettering
from fanout_app.group_commit import GroupCommit
from fanout_app.ports import Bodies, DeadLetterSink, LedgerStore, Terms
from fanout_app.pulls import Pulls
from fanout_app.row_watch import RowWatch
from fanout_app.settles import Settles
from fanout_app.tasks import Tasks
from fanout_app.waking import Waking

#: Seconds after which a queue with messages and waiting clients that hands nothing out counts as standing still.
STANDSTILL = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What all queues of a worker have in common."""

    terms: Terms
    bodies: Bodies
    dead_letters: DeadLetterSink
    tasks: Tasks
    ages: Ages
    #: Set while no rebalance is under way.
    moved: asyncio.Event
    #: Called when there may be room for more than before, or somebody to take it.
    feed: Callable[[], None]
    #: Told of an error that ends the worker.
    on_fault: Callable[[BaseException], None]


class LedgerGroup:
    """One queue over all partitions of this worker, with a ledger of its own in each."""

    commit: GroupCommit
    pulls: Pulls
    settles: Settles
    waking: Waking
    dead_lettering: DeadLettering
    _feed: Callable[[], None]

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self._rows = RowWatch(dispatcher)
        #: Told of a partition whose row, as it was written last, the changelog has.
        self.on_written: Callable[[int], None] = lambda partition: None

    def connect(self, store: LedgerStore, around: Around) -> None:
        dispatcher, terms, tasks, moved = self.dispatcher, around.terms, around.tasks, around.moved
        bodies, dead_letters = around.bodies, around.dead_letters
        self._feed = around.feed
        self._terms = terms
        self.commit = commit = GroupCommit(dispatcher, store, terms, around.on_fault)
        commit.on_row = self._row_written
        self.pulls = Pulls(
            dispatcher, terms, moved=moved, take_more=self.take_more, on_time=self._on_time, ages=around.ages
        )
        self.waking = Waking(dispatcher, commit, bodies, tasks, self._woken)
        self.settles = Settles(dispatcher, commit, dead_letters, bodies, moved=moved, worked_off=self._settled)
        self.dead_lettering = DeadLettering(dispatcher, commit, dead_letters, tasks, self._put_away)

    def serve(self) -> None:
        """There may be more to hand out."""
        self.pulls.serve()

    def take_more(self) -> None:
        """Somebody has come, or there is room again: for what is in the log, and for what sleeps."""
        self._feed()
        self.waking.look()

    def go_on(self) -> None:
        """What kept messages from clients is over, or those who may have them are others now."""
        self.take_more()
        self.serve()

    def _row_written(self, number: int, size: int) -> None:
        if self._rows.written(number, size):
            self._feed()
        self.on_written(number)

    def _put_away(self) -> None:
        """A dead letter is where such messages go: there is room, and others of its key may have waited for it."""
        self.go_on()

    def _woken(self) -> None:
        """What slept has been read: it is for a client, or where it is put that nobody is to have it again."""
        self.dead_lettering.look()
        self.serve()

    def _on_time(self) -> None:
        expired = self.dispatcher.counters.expired
        self.dispatcher.expire(monotonic())
        if self.dispatcher.counters.expired != expired:
            self._gone_badly()
        self.waking.look()
        self.serve()

    def _gone_badly(self) -> None:
        """Deliveries ended badly: their counts are to be written, and there may be room for more, and dead letters."""
        self.commit.kick_quietly()
        self._feed()
        self.dead_lettering.look()

    def _settled(self, outcome: SettleOutcome) -> None:
        """A settle has been worked off in memory: there may be room, and something to hand out again."""
        if outcome.nacked or outcome.extended:
            self._gone_badly()
        self.dead_lettering.look()  # what an earlier owner gave up on may have waited for others of its key
        self.go_on()

    def leave(self, client: str) -> bool:
        """A client leaves: its pulls end, its messages go to others. False if nobody of that name is known."""
        pulls = self.dispatcher.leave(client, monotonic())
        for number in pulls or ():
            self.pulls.end(number)
        self.go_on()
        return pulls is not None

    def stuck_for(self) -> float | None:
        """Seconds for which messages and free clients were there and nothing was handed out; None: it is not so."""
        now = monotonic()
        stuck_for = now - self.pulls.idle_since
        if (
            stuck_for > STANDSTILL
            and self._terms.holds(self._terms.term(), now)
            and any(self._could_be_served(pull, now) for pull in self.pulls)
        ):
            return stuck_for
        return None

    def _could_be_served(self, pull: int, now: float) -> bool:
        waiting = self.dispatcher.waiting_pull(pull)
        return (
            waiting is not None
            and self.dispatcher.why_empty(waiting, now) is Empty.NO_MESSAGE
            and self.dispatcher.could_serve(waiting.group, now)
        )
