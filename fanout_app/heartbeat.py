"""What this worker tells the others of itself."""

from __future__ import annotations

from typing import Protocol

from fanout_app.core.alike import Ways
from fanout_app.core.dispatcher import Dispatcher
from fanout_app.core.roster import Heartbeat, Roster
from fanout_app.options import Options


class Member(Protocol):
    """What a heartbeat tells of this worker."""

    worker: str
    roster: Roster

    @property
    def dispatcher(self) -> Dispatcher: ...
    @property
    def generation(self) -> int: ...
    def owned(self) -> tuple[int, ...]: ...
    def waiting(self) -> int: ...
    @property
    def ready(self) -> bool: ...


def ways_of(options: Options) -> Ways:
    return Ways(options.delivery, options.order)


def heartbeat_of(
    member: Member, options: Options, address: str, epochs: tuple[int | None, int | None], now: float
) -> Heartbeat:
    """``epochs``: of the leader whom it follows, and of the one whom it misses; ``now`` is its monotonic clock."""
    epoch, misses_epoch = epochs
    return Heartbeat(
        worker=member.worker,
        address=address,
        partitions=member.owned(),
        generation=member.generation,
        waiting_messages=member.waiting(),
        waiting_pulls=member.dispatcher.clients.waiting,
        epoch=epoch,
        misses_epoch=misses_epoch,
        sent_at=now,
        **ways_of(options)._asdict(),
    )
