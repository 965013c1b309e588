"""The workers of one history: started, killed and started again, and as clients find them at the moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.histories.client import Target
from support.histories.events import Gone, Launched
from support.histories.recorder import Recorder
from support.workers import READY_TOGETHER, Worker, Workers

#: Short: a worker that is to end need not wait for clients that never end.
_DRAIN = "300ms"
_ENDED_WITHIN = 20.0


class Crowd:
    """One worker or several, all of one cluster."""

    def __init__(
        self,
        recorder: Recorder,
        workers: Workers,
        topic: str,
        faults: Iterable[str],
        *,
        zookeepers: str = "",
        spares_first: bool = False,
        clocks: Path | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        #: Those that are there, by their numbers.
        self.there: dict[int, Worker] = {}
        #: Those of them that have said that they are ready.
        self.ready: set[int] = set()
        #: Who leads, as far as is known.
        self.leader = 0
        #: Where to ask when nobody is there.
        self.last = Target(0, "")
        self._recorder = recorder
        self._workers = workers
        self._topic = topic
        self._faults = tuple(faults)
        self._zookeepers = zookeepers
        self._spared = 1 if spares_first else 0
        #: Where files are that say how far the wall clocks of workers are ahead, if they can be turned.
        self._clocks = clocks
        self._options = dict(options or {})
        self._started = 0

    @property
    def id(self) -> str:
        """That of the cluster."""
        return self._workers.all[0].id

    def number(self, which: int) -> int:
        """One of those that are there."""
        return sorted(self.there)[which % len(self.there)]

    def mortals(self) -> list[int]:
        """Those that are there and may be ended."""
        return sorted(self.there.keys() - {self._spared})

    def mortal(self, which: int) -> int:
        """One of them."""
        mortals = self.mortals()
        return mortals[which % len(mortals)]

    async def start(self, count: int = 1) -> None:
        """Start so many at once, and wait until they are ready."""
        await asyncio.gather(*(self._launch() for _ in range(count)))

    async def _launch(self) -> None:
        self._started = number = self._started + 1
        self._recorder.write(Launched(at=self._recorder.now(), worker=number))
        faults = self._faults
        if self._clocks:
            self.turn_clock(number, 0)
            faults += (f"wall-clock={self._clock(number)}",)
        # Empty is what the option is by default, too.
        options: dict[str, Any] = {"drain": _DRAIN, "zookeepers": self._zookeepers, **self._options}
        worker = self._workers.launch(self._topic, faults=faults, **options)
        self.last = Target(number, worker.url)
        # One alone is asked from the beginning; where there are others, clients come when it is ready.
        if not self.there:
            self.there[number] = worker
        await worker.ready(READY_TOGETHER)
        self.there[number] = worker
        self.ready.add(number)

    def kill(self, number: int) -> None:
        self._recorder.write(Gone(at=self._recorder.now(), worker=number))
        self.there.pop(number).kill9()

    async def stop(self, number: int) -> None:
        """End it by SIGTERM. Clients may go on asking it until it is gone."""
        worker = self.there[number]
        await worker.terminate(_ENDED_WITHIN)
        del self.there[number]
        self._recorder.write(Gone(at=self._recorder.now(), worker=number))

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """All end by SIGTERM, and as many come back; also the one that is spared otherwise."""
        count = len(self.there)
        await asyncio.gather(*(self.stop(number) for number in list(self.there)))
        yield
        await self.start(count)

    def turn_clock(self, number: int, ahead: int) -> None:
        """The wall clock of a worker is so many seconds ahead from now on."""
        clock = self._clock(number)
        turned = clock.with_suffix(".new")
        turned.write_text(str(ahead))
        turned.rename(clock)

    def _clock(self, number: int) -> Path:
        assert self._clocks is not None
        return self._clocks / f"clock-{number}"


class Home:
    """Which worker a client asks: the same one for as long as that is there, or another one each time."""

    def __init__(self, crowd: Crowd, seed: int, *, roams: bool, home: int | None = None) -> None:
        self._crowd = crowd
        self._dice = random.Random(seed)
        self._roams = roams
        self._pinned = home
        self._home = 0

    def __call__(self) -> Target:
        there = self._crowd.there
        if not there:
            return self._crowd.last
        if self._pinned is not None and self._home not in there:
            self._home = self._crowd.number(self._pinned)
        elif self._roams or self._home not in there:
            self._home = self._dice.choice(sorted(there))
        return Target(self._home, there[self._home].url)
