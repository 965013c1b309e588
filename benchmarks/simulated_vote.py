"""A leader's loop hangs while its session goes on: who misses it when, who deposes it, and when the next one acts.

One that is killed is missed just as soon; only if nobody deposed it would its session have to end first.

Every worker is a `Following`, a `Roster` and a `Leadership`; the board is a list that each of them reads in pieces.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from fanout_app.core.following import Following, Leader
from fanout_app.core.leadership import Leadership
from fanout_app.core.roster import Heartbeat, Roster

Entry = Heartbeat | Leader


@dataclass(frozen=True, slots=True)
class Rules:
    """The constants of a real worker (`fanout_app.leading`, `fanout_app.kafka.cluster`), and ways; all in seconds."""

    beat: float = 0.5
    pause: float = 0.1
    lease: float = 2.0
    timeout: float = 3.0
    #: To a place on the board, and from there to a reader.
    way: float = 0.005
    #: Of one question to ZooKeeper.
    asked: float = 0.002
    silent_at: float = 10.0
    until: float = 40.0


class _World:
    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self._numbers = count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when, next(self._numbers), do))

    def run(self, until: Callable[[], bool], limit: float) -> None:
        while self._due and not until() and self.now < limit:
            self.now, _, do = heapq.heappop(self._due)
            do()


class _Board:
    def __init__(self, world: _World, way: float) -> None:
        self._world = world
        self._way = way
        self.entries: list[Entry] = []

    def write(self, entry: Entry) -> None:
        self._world.at(self._world.now + self._way * self._world.random.random(), lambda: self.entries.append(entry))


class _Lock:
    """Whose turn it is, by epochs that only grow."""

    def __init__(self, workers: int) -> None:
        self.queue = [(epoch, f"w{epoch:04}") for epoch in range(workers)]
        self.deletes = 0
        #: Questions to ZooKeeper that the deletions take.
        self.questions = 0

    def held(self, name: str) -> int | None:
        return self.queue[0][0] if self.queue and self.queue[0][1] == name else None

    def remove(self, epoch: int) -> None:
        self.queue = [one for one in self.queue if one[0] != epoch]


class _Worker:
    def __init__(self, name: str, world: _World, board: _Board, lock: _Lock, rules: Rules) -> None:
        self.name = name
        self._world, self._board, self._lock, self._rules = world, board, lock, rules
        self.silent = False
        self.missed_at: float | None = None
        self.followed_at: float | None = None
        self._at = 0
        self._following = Following(name, rules.timeout)
        self._roster = Roster(name, rules.timeout)
        self._leadership = Leadership(rules.lease, rules.timeout)
        for every, do in ((rules.beat, self._beat), (rules.pause + rules.way, self._read), (rules.beat, self._ask)):
            self._again(every, do, first=True)

    def fall_silent(self) -> None:
        self.silent = True

    def _again(self, every: float, do: Callable[[], None], *, first: bool = False) -> None:
        def turn() -> None:
            if not self.silent:
                do()
                self._again(every, do)

        after = every * self._world.random.random() if first else every
        self._world.at(self._world.now + after, turn)

    def _beat(self) -> None:
        now, following = self._world.now, self._following
        if following.misses_epoch is not None and self.missed_at is None:
            self.missed_at = now
        self._board.write(
            Heartbeat(
                worker=self.name, address="", partitions=(), generation=1, waiting_messages=0, waiting_pulls=0,
                epoch=following.epoch, misses_epoch=following.misses_epoch, sent_at=now,
            )
        )  # fmt: skip

    def _read(self) -> None:
        now = self._world.now
        entries, self._at = self._board.entries[self._at :], len(self._board.entries)
        for entry in entries:
            if isinstance(entry, Leader):
                if self._following.heard(now, entry) and entry.epoch > 0 and self.followed_at is None:
                    self.followed_at = now
                continue
            self._roster.heard(now, entry)
            if entry.worker == self.name:
                self._following.read_back(now, entry.sent_at)

    def _ask(self) -> None:
        now = self._world.now
        epoch = self._lock.held(self.name)
        self._leadership.answered(now, now - self._rules.asked, epoch)
        if self._leadership.may_act(now, now) and epoch is not None:
            self._board.write(Leader(worker=self.name, address="", epoch=epoch))
        if self._following.misses_epoch is not None:
            self._vote()

    def _vote(self) -> None:
        epoch = self._following.to_depose(self._roster.present(self._world.now))
        if epoch is not None and any(one == epoch for one, _ in self._lock.queue):
            self._lock.deletes += 1
            # The queue, its head, and the deletion; who leads is at the head (`fanout_app.zookeeper.lock`).
            looks = 3
            self._lock.questions += looks
            self._world.at(self._world.now + looks * self._rules.asked, lambda: self._lock.remove(epoch))


def simulate_vote(workers: int, seed: int) -> dict[str, Any]:
    """The first of so many workers leads and falls silent; times are seconds from there."""
    rules = Rules()
    world = _World(seed)
    board, lock = _Board(world, rules.way), _Lock(workers)
    everybody = [_Worker(f"w{number:04}", world, board, lock, rules) for number in range(workers)]
    first, others = everybody[0], everybody[1:]

    world.at(rules.silent_at, first.fall_silent)
    world.run(lambda: all(one.followed_at is not None for one in others), rules.until)
    follow = [one.followed_at for one in others if one.followed_at is not None]
    missed = [one.missed_at for one in others if one.missed_at is not None]
    return {
        "workers": workers,
        "first_missed_s": round(min(missed) - rules.silent_at, 2) if missed else None,
        "missed_by": len(missed),
        "votes_to_delete": lock.deletes,
        "questions_to_zookeeper": lock.questions,
        "next_is_followed_s": [round(min(follow) - rules.silent_at, 2), round(max(follow) - rules.silent_at, 2)],
        "followed_by": len(follow),
        "records_on_board": len(board.entries),
        "records_read": len(board.entries) * workers,
    }
