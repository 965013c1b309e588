"""Who is in the cluster: the workers whose heartbeats are heard, and what each of them last said of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

#: Seconds after its last heartbeat for which a worker counts as present: six heartbeats, so that one which is late on a
#: busy machine sends nobody away.
SILENCE: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a worker says of itself."""

    #: Its name; another one after each start.
    worker: str
    #: Where the others reach it: ``http://HOST:PORT`` or ``https://``, without a path.
    address: str
    #: Those it can serve, ascending; none while a rebalance is under way.
    partitions: tuple[int, ...]
    #: The consumer group's generation that it has these partitions in.
    generation: int
    #: Not handed out yet: held there, or still in Kafka.
    waiting_messages: int
    waiting_pulls: int
    #: The leader's epoch that it follows; None where it knows of no leader.
    epoch: int | None
    #: The epoch whose leader it has not heard for too long.
    misses_epoch: int | None
    #: When it was sent, by the monotonic clock of its sender, to whom alone it means something.
    sent_at: float = 0.0
    #: The options of these names; empty from a worker of an earlier version.
    delivery: str = ""
    order: str = ""


class _Heard(NamedTuple):
    at: float
    heartbeat: Heartbeat


class Roster:
    """Goes by when heartbeats were received here, never by a timestamp in them: clocks of machines differ."""

    def __init__(self, me: str, silence: float) -> None:
        """``silence`` is for how many seconds a worker counts as present after its last heartbeat."""
        self.me = me
        self._silence = silence
        self._heard: dict[str, _Heard] = {}

    def heard(self, now: float, heartbeat: Heartbeat) -> None:
        self._heard[heartbeat.worker] = _Heard(now, heartbeat)

    def left(self, worker: str) -> None:
        """It has said that it goes, or somebody has found out that it is gone."""
        if worker != self.me:
            self._heard.pop(worker, None)

    def present(self, now: float) -> list[Heartbeat]:
        """By name, this worker included: it knows that it is there, whether Kafka takes its heartbeats or not."""
        silent = [name for name in self._heard if name != self.me and self.unheard(now, name) > self._silence]
        for name in silent:
            del self._heard[name]
        return [self._heard[name].heartbeat for name in sorted(self._heard)]

    def peers(self, now: float) -> list[Heartbeat]:
        """Those present without this worker."""
        return [heartbeat for heartbeat in self.present(now) if heartbeat.worker != self.me]

    def unheard(self, now: float, worker: str) -> float:
        """Seconds since the last heartbeat of a worker that is present.

        Raises:
            KeyError: it is not.
        """
        return now - self._heard[worker].at


class Absentees:
    """Workers whose last heartbeat stands on the board although they are gone: without a word, so somebody wipes it.

    Counts turns instead of time: this worker may have been stopped itself, or cut off from Kafka, for an hour.
    """

    def __init__(self, turns: int) -> None:
        """``turns`` without a heartbeat make an absentee."""
        self._turns = turns
        self._unheard: dict[str, int] = {}

    def seen(self, worker: str) -> None:
        """There is a heartbeat of it, old or new."""
        self._unheard[worker] = 0

    def wiped(self, worker: str) -> None:
        """There is none any more."""
        self._unheard.pop(worker, None)

    def turn(self) -> list[str]:
        """To be called about once a minute in which the board was read and written. Returns the absentees, by name."""
        for worker in self._unheard:
            self._unheard[worker] += 1
        return sorted(worker for worker, turns in self._unheard.items() if turns > self._turns)
