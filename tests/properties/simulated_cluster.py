"""A cluster of workers with their leadership alone: one lock, one board, one clock, and whatever may go wrong.

Nothing here knows how leadership is decided. Questions and records are under way for as long as a test likes, or for
ever; a worker that is stopped does nothing, while its lock node stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fanout_app.core.following import Following, Leader
from fanout_app.core.leadership import Leadership
from fanout_app.core.roster import Heartbeat, Roster

LEASE, TIMEOUT, EVERY = 2.0, 3.0, 0.5


class Act(NamedTuple):
    at: float
    worker: str
    epoch: int


@dataclass
class Record:
    """On its way to the board, or on it."""

    sent_at: float
    of: Heartbeat | Leader


@dataclass
class Question:
    """What a worker asks the lock: ``epoch`` is the answer, once it has been given."""

    asked_at: float
    answered: bool = False
    epoch: int | None = None


@dataclass
class One:
    """A worker."""

    name: str
    leadership: Leadership = field(default_factory=lambda: Leadership(LEASE, TIMEOUT))
    stopped: bool = False
    #: Cut from the board, not from the lock.
    deaf: bool = False
    question: Question | None = None
    acknowledged_at: float = 0.0
    position: int = 0
    #: When it followed which epoch.
    followed: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.following = Following(self.name, TIMEOUT)
        self.roster = Roster(self.name, TIMEOUT)


class Cluster:
    """All of it."""

    def __init__(self, names: str) -> None:
        self.now = 100.0
        self.workers = {name: One(name) for name in names}
        #: The lock's queue of (creation id, worker); the first one leads.
        self.lock: list[tuple[int, str]] = []
        self.board: list[Record] = []
        self.acts: list[Act] = []
        self._created = 0

    def queue(self, name: str) -> None:
        if all(owner != name for _, owner in self.lock):
            self._created += 1
            self.lock.append((self._created, name))

    def drop(self, name: str) -> None:
        """Its session is over, or it gives up its place."""
        self.lock = [node for node in self.lock if node[1] != name]

    def delete(self, epoch: int) -> None:
        self.lock = [node for node in self.lock if node[0] != epoch]

    def held_by(self, name: str) -> int | None:
        return self.lock[0][0] if self.lock and self.lock[0][1] == name else None

    # What a worker does ----------------------------------------------------------------------------------------------

    def ask(self, one: One) -> None:
        one.question = Question(self.now)

    def answer(self, one: One) -> None:
        """The lock sees the question; the worker does not know the answer yet."""
        if one.question is not None and not one.question.answered:
            one.question.answered, one.question.epoch = True, self.held_by(one.name)

    def take_answer(self, one: One) -> None:
        question = one.question
        if question is not None and question.answered:
            one.question = None
            one.leadership.answered(self.now, question.asked_at, question.epoch)

    def heartbeat(self, one: One) -> Record:
        beat = Heartbeat(
            worker=one.name,
            address=one.name,
            partitions=(),
            generation=0,
            waiting_messages=0,
            waiting_pulls=0,
            epoch=one.following.epoch,
            misses_epoch=one.following.misses_epoch,
            sent_at=self.now,
        )
        return Record(self.now, beat)

    def act(self, one: One) -> Record | None:
        """The leader's heartbeat, if it may."""
        if not one.leadership.may_act(self.now, one.acknowledged_at):
            return None
        assert one.leadership.epoch is not None
        self.acts.append(Act(self.now, one.name, one.leadership.epoch))
        return Record(self.now, Leader(worker=one.name, address=one.name, epoch=one.leadership.epoch))

    def arrive(self, record: Record) -> None:
        self.board.append(record)

    def acknowledge(self, record: Record) -> None:
        if isinstance(record.of, Heartbeat):
            one = self.workers[record.of.worker]
            one.acknowledged_at = max(one.acknowledged_at, record.sent_at)

    def read(self, one: One, most: int) -> None:
        for record in self.board[one.position : one.position + most]:
            if isinstance(record.of, Leader):
                if one.following.heard(self.now, record.of):
                    one.followed.append((self.now, record.of.epoch))
            else:
                one.roster.heard(self.now, record.of)
                if record.of.worker == one.name:
                    one.following.read_back(self.now, record.of.sent_at)
            one.position += 1

    def vote(self, one: One) -> None:
        epoch = one.following.to_depose(one.roster.present(self.now))
        if epoch is not None:
            self.delete(epoch)

    def resign(self, one: One) -> None:
        if one.leadership.should_resign(self.now, one.acknowledged_at):
            self.drop(one.name)

    # A life without faults -------------------------------------------------------------------------------------------

    def live(self, seconds: float) -> None:
        """Everything arrives at once for so long; stopped workers do nothing, deaf ones are not heard."""
        for _ in range(int(seconds / EVERY)):
            self.now += EVERY
            running = [one for one in self.workers.values() if not one.stopped]
            for one in running:
                self.queue(one.name)
                self.ask(one)
                self.answer(one)
                self.take_answer(one)
                sent = [self.heartbeat(one), self.act(one)]
                for record in filter(None, [] if one.deaf else sent):
                    self.arrive(record)
                    self.acknowledge(record)
            for one in running:
                if not one.deaf:
                    self.read(one, len(self.board))
                    self.vote(one)
                self.resign(one)

    def agreed(self) -> Leader | None:
        """Whom all that run follow; None if they do not agree."""
        followed = {one.following.leader(self.now) for one in self.workers.values() if not (one.stopped or one.deaf)}
        return followed.pop() if len(followed) == 1 else None
