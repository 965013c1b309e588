"""What clients in Python count: the same as the load generator in Go, over the same stretch of time.

A client that shares the work with others in other processes sees neither the first message nor the last ack of the run;
so each says when its own were and how much CPU everybody had used by then, and `merged` picks.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.peers.percentiles import percentiles
from benchmarks.peers.system import Cpu, Run, number_of, stamp_of
from benchmarks.support import cpu_seconds


@dataclass(frozen=True)
class Moment:
    """Seconds: of the clock that all processes share, and of CPU used by then, "load" being this process itself."""

    at: float
    cpu: Mapping[str, float]


@dataclass(frozen=True)
class Report:
    """What one process of clients saw."""

    began: float
    first: Moment
    last: Moment
    numbers: Sequence[int]
    #: Seconds.
    pulls: Sequence[float]
    acks: Sequence[float]
    #: Of stamped messages: from the stamp to the arrival.
    hand_outs: Sequence[float] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Report:
        return cls(**{**said, "first": Moment(**said["first"]), "last": Moment(**said["last"])})


class Arrivals:
    """The counts of one process. What costs time a message, reading the numbers, waits until the clock has stopped."""

    def __init__(self, pids: str, *, uncounted: int = 0, stamped: bool = False) -> None:
        """`uncounted` messages, the first ones, only warm everything up; `stamped` ones say when they were produced."""
        self._uncounted = uncounted
        self._stamped = stamped
        self._pids = {
            name: [int(pid) for pid in some.split(",")]
            for name, _, some in (part.partition("=") for part in pids.split(";") if part)
        }
        self._values: list[bytes] = []
        self.began = time.monotonic()
        self._first: Moment | None = None
        self._last: Moment | None = None
        self.pulls: list[float] = []
        self.acks: list[float] = []
        self._hand_outs: list[float] = []

    def got(self, values: Sequence[bytes]) -> bool:
        """These have arrived, just now. Answers whether any of them counts: what the others take is not to be timed."""
        now = time.time_ns()
        self._values.extend(values)
        counted = values
        if self._uncounted:
            counted = [value for value in values if number_of(value) >= self._uncounted]
        if not counted:
            return False
        self._first = self._first or self._now()
        if self._stamped:
            self._hand_outs += [(now - stamp_of(value)) / 1e9 for value in counted]
        return True

    def acked(self) -> None:
        """All that arrived here so far is acked. Called once a batch: the CPU clocks cost 2 us."""
        self._last = self._now()

    def __len__(self) -> int:
        return len(self._values)

    def report(self) -> Report | None:
        """None where nothing came to this process."""
        if not self._values:
            return None
        if self._first is None:
            raise RuntimeError(f"of the warm-up {len(self)} messages came, and nothing after it")
        if self._last is None:
            raise RuntimeError(f"{len(self)} messages came and none was acked")
        numbers = [number_of(value) for value in self._values]
        return Report(self.began, self._first, self._last, numbers, self.pulls, self.acks, self._hand_outs)

    def _now(self) -> Moment:
        cpu = {name: sum(map(cpu_seconds, some)) for name, some in self._pids.items()}
        return Moment(time.monotonic(), {**cpu, "load": cpu_seconds(os.getpid())})


def merged(reports: Sequence[Report], messages: int, began: float, uncounted: int = 0) -> Run:
    """One run of the reports of all processes; `began` is when they were started, by `time.monotonic`.

    Raises RuntimeError unless each of the messages numbered 0 up to `messages` came.
    """
    came = Counter(number for report in reports for number in report.numbers)
    if len(came) != messages or max(came) >= messages:
        raise RuntimeError(f"{len(came)} of {messages} messages came")
    first = min((report.first for report in reports), key=lambda moment: moment.at)
    last = max((report.last for report in reports), key=lambda moment: moment.at)

    def used(name: str) -> float | None:
        return last.cpu[name] - first.cpu[name] if name in last.cpu else None

    return Run(
        messages=messages - uncounted,
        duplicates=came.total() - messages,
        seconds=last.at - first.at,
        until_first=first.at - began,
        cpu=Cpu(
            server=used("server"),
            broker=used("broker"),
            clients=sum(report.last.cpu["load"] - report.first.cpu["load"] for report in reports),
        ),
        latencies={
            name: percentiles(timed)
            for name, timed in (
                ("pull", [seconds for report in reports for seconds in report.pulls]),
                ("ack", [seconds for report in reports for seconds in report.acks]),
                ("hand-out", [seconds for report in reports for seconds in report.hand_outs]),
            )
            if timed
        },
    )
