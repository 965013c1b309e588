"""What a strike may be done to, and what it comes to when its target has been chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from support.eventually import eventually
from support.histories.crowd import Crowd
from support.histories.plan import Strike
from support.histories.recorder import Recorder
from support.histories.sharing import Operator
from support.histories.topic import Topic
from support.kafka import Kafka
from support.network.network import Network
from support.stack import Stack
from support.workers import Worker

_ASKED_FOR = 2.0
#: What is sent again after a cut may have to wait for as long as the cut lasted.
_ANSWERS_WITHIN = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    recorder: Recorder
    stack: Stack
    crowd: Crowd
    topic: Topic
    kafka: Kafka
    #: Only in `bin/isolated`.
    network: Network | None = None
    #: Only where groups have shares.
    operator: Operator | None = None
    #: Groups whose clients fail all they are given at the moment.
    failing: set[str] = field(default_factory=set)
    #: What is being struck at the moment and cannot take a second strike meanwhile.
    busy: set[str] = field(default_factory=set)

    def pick(self, strike: Strike, names: Sequence[str]) -> str | None:
        """Which of these it is to be: one that is not being struck, if there is one."""
        free = [name for name in names if name not in self.busy] or names
        return free[strike.which % len(free)] if free else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """A strike whose target is known."""

    #: Does it, and returns when it is over and what was struck answers again.
    do: Callable[[], Awaitable[None]]
    #: As in `Struck`.
    worker: int = 0
    detail: str = ""
    #: What is not to be struck by others meanwhile.
    touches: frozenset[str] = frozenset()


#: Chooses the target, at once; none: there is nothing to be struck, for as long as other strikes go on.
Choose = Callable[[Scene, Strike], Harm | None]


async def answers(worker: Worker) -> None:
    """Wait until it does, unless it has ended."""

    async def has_answered() -> bool:
        try:
            async with asyncio.timeout(_ASKED_FOR):
                await worker.status()
        except (aiohttp.ClientError, OSError):
            return not worker.runs
        return True

    await eventually(has_answered, _ANSWERS_WITHIN)
