"""What a message costs as everything around it grows: clients, partitions, gaps, messages that wait.

Two kinds of curves. "queue": the queue alone, in a process of its own for each measurement (`core_cost.py`); its CPU is
all there is. "worker": a real worker that is drained by the load generator; its CPU, with HTTP, tokens, intake and the
changelog, from the first message at a client to the last durable ack.

All points of a curve are measured in turn, several times, and the median of each counts: what else the machine does
falls on all of them alike. Each curve has the same batch throughout.
"""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.peers.processes import python
from benchmarks.workloads.growing_worker import GAPS, QUICK_GAPS, Growing, OfWorker, growing
from benchmarks.workloads.workload import CannotBeRun, Ratio, Round, Row, Workload

SYSTEM = "fanout"
COST = "CPU us/msg"
LARGEST = "largest over smallest"
#: How often each point of a curve is measured in a round: of the queue, and of a worker, which takes longer. Five
#: rounds make fifteen and ten.
TURNS, TURNS_OF_WORKER = 3, 2
FLAT = 1.3

#: Measures a point once, in us of CPU a message.
Measure = Callable[[int], Awaitable[float]]


@dataclass(frozen=True)
class OfQueue:
    """A curve of the queue alone."""

    grows: str
    sizes: Sequence[int]
    quick_sizes: Sequence[int]
    batch: int
    #: Of which the cost is measured; so many that it takes some tenths of a second.
    messages: int
    #: What stays as it is, as `core_cost.py` takes it.
    beside: Sequence[str] = ()

    @property
    def name(self) -> str:
        return f"{self.grows}, queue, {self.batch} a pull"

    async def measure(self, size: int, *, quick: bool) -> float:
        """us of CPU a message."""
        messages = max(self.batch, self.messages // (20 if quick else 1))
        said = await python(
            "benchmarks.workloads.core_cost", f"--{self.grows}", str(size), "--batch", str(self.batch),
            "--messages", str(messages), *self.beside,
        )  # fmt: skip
        us: float = said["us"]
        return us


QUEUE = tuple(
    OfQueue(grows, sizes, sizes[:2], batch, messages, beside(batch))
    for batch, messages in ((500, 500_000), (1, 10_000))
    for grows, sizes, beside in (
        ("clients", (1, 10, 100, 1000), lambda batch: ()),
        # So many messages wait that there are some in each.
        ("partitions", (1, 4, 16, 64), lambda batch: ("--waiting", str(64 * batch))),
        ("gaps", (0, 1000, 10_000, 100_000), lambda batch: ()),
        # A pull finds a whole batch at least.
        ("waiting", (batch, 10_000, 100_000, 1_000_000), lambda batch: ()),
    )
)
WORKER = (
    OfWorker("clients", (1, 10, 100, 1000), (1, 10), batch=10, messages=200_000),
    OfWorker("partitions", (1, 4, 16, 64), (1, 4), batch=100, messages=200_000),
    OfWorker("gaps", (0, GAPS), (0, QUICK_GAPS), batch=500, messages=300_000),
    # Fewer would be over before they say anything: the queue's own curve begins at 1.
    OfWorker("waiting", (100_000, 1_000_000), (4000, 8000), batch=500, messages=0),
)
CURVES: Sequence[OfQueue | OfWorker] = (*QUEUE, *WORKER)


def point(curve: OfQueue | OfWorker, size: int) -> str:
    """The case of a point."""
    return f"{curve.name}: {size:,}"


def flatness(curve: OfQueue | OfWorker) -> str:
    """The case of a whole curve."""
    return f"{curve.name}: all"


async def in_turn(sizes: Sequence[int], turns: int, measure: Measure) -> dict[int, float]:
    """Each point so many times, one after the other, every second time backwards; the median of each."""
    costs: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(turns):
        for size in sizes if turn % 2 == 0 else reversed(sizes):
            costs[size].append(await measure(size))
    return {size: statistics.median(some) for size, some in costs.items()}


def rows_of(curve: OfQueue | OfWorker, costs: dict[int, float]) -> list[Row]:
    """One of each point, and one of how far they are apart."""
    rows = [Row(SYSTEM, point(curve, size), {COST: cost}) for size, cost in costs.items()]
    apart = max(costs.values()) / min(costs.values())
    return [*rows, Row(SYSTEM, flatness(curve), {LARGEST: apart})]


class Growth:
    """Curves of the queue first, then those of a worker on one Kafka."""

    name = "growth"
    title = (
        "CPU a message at 1 to 1,000 clients, 1 to 64 partitions, 0 to 100,000 gaps, 1 to 1,000,000 waiting messages"
    )
    with_peers = False
    ratios: Sequence[Ratio] = tuple(
        Ratio(f"{curve.name}: largest cost over smallest, of 1", (SYSTEM, flatness(curve), LARGEST), 1.0, at_most=FLAT)
        for curve in CURVES
    )

    async def round(self, given: Round) -> AsyncIterator[Row | CannotBeRun]:
        for curve in (one for one in QUEUE if wanted(one, given)):
            turns = 1 if given.quick else TURNS
            for row in rows_of(curve, await in_turn(_sizes(curve, given), turns, _measure_queue(curve, given.quick))):
                yield row
        curves = [one for one in WORKER if wanted(one, given)]
        if not curves:
            return
        async with growing(given.where, quick=given.quick) as on:
            for one in curves:
                turns = 1 if given.quick else TURNS_OF_WORKER
                for row in rows_of(one, await in_turn(_sizes(one, given), turns, _measure_worker(one, on))):
                    yield row


def _sizes(curve: OfQueue | OfWorker, given: Round) -> Sequence[int]:
    return curve.quick_sizes if given.quick else curve.sizes


def wanted(curve: OfQueue | OfWorker, given: Round) -> bool:
    """A curve is measured as a whole, or not at all."""
    return any(given.wants(case) for case in (flatness(curve), *(point(curve, size) for size in _sizes(curve, given))))


def _measure_queue(curve: OfQueue, quick: bool) -> Measure:
    return lambda size: curve.measure(size, quick=quick)


def _measure_worker(curve: OfWorker, on: Growing) -> Measure:
    return lambda size: on.measure(curve, size)


WORKLOAD: Workload = Growth()
