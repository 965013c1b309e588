"""Plans of histories of several workers: at random, and the large one whose figures are worth telling."""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec.structs import replace

from support.histories.events import Trouble
from support.histories.plan import TEMPERS, Hand, Plan, Strike, Write, plan_of

#: Seconds. A session of 3 s, as `support.workers` starts them, outlives the short stop and not the long one.
_SHORT_STOP = (0.2, 1.5)
_LONG_STOP = (4.0, 6.0)
#: With no time between, the next rebalance begins in the middle of the one before.
_BETWEEN = (0.2, 3.0)
_ABSENT = (0.0, 2.0)
_NO_BROKER = (0.5, 6.0)

_OF_WORKERS: tuple[tuple[Trouble, tuple[float, float]], ...] = (
    ("kill -9", _ABSENT),
    ("kill -9", _ABSENT),
    ("SIGTERM", _ABSENT),
    ("SIGSTOP", _SHORT_STOP),
    ("SIGSTOP", _LONG_STOP),
    ("worker added", (0.0, 0.0)),
    ("worker removed", (0.0, 0.0)),
    ("rolling restart", (0.0, 0.0)),
)
_OF_BROKERS: tuple[tuple[Trouble, tuple[float, float]], ...] = (
    ("broker killed", _NO_BROKER),
    ("broker paused", _NO_BROKER),
)
_OF_ZOOKEEPERS: tuple[tuple[Trouble, tuple[float, float]], ...] = (("zookeeper killed", _NO_BROKER),)
#: A worker is removed only while so many would be left.
_AT_LEAST = 2
#: So that writing outlasts five strikes, each of which may take 20 s.
_OVER_AGAIN = 6


def cluster_plan_of(seed: int, *, workers: int, brokers: int = 1, zookeepers: int = 0) -> Plan:
    """What `plan_of` makes of this seed, with several workers and three to five strikes of any kind."""
    dice = random.Random(f"cluster {seed}")
    plan = plan_of(seed)
    kinds = [*_OF_WORKERS, *_OF_BROKERS, *(_OF_ZOOKEEPERS if zookeepers else ())]
    strikes: list[Strike] = []
    there = workers
    for _ in range(dice.randint(3, 5)):
        trouble, lasts = dice.choice(kinds)
        if trouble == "worker removed" and there <= _AT_LEAST:
            trouble = "worker added"
        there += {"worker added": 1, "worker removed": -1}.get(trouble, 0)
        strikes.append(_strike(dice, trouble, lasts))
    partitions = dice.randint(workers, 2 * workers)
    return replace(
        plan,
        partitions=partitions,
        hands=[
            *(replace(hand, roams=dice.random() < 0.5 or hand.temper == "elsewhere") for hand in plan.hands),
            *(
                Hand(name=f"{temper}-more", temper=temper, seed=dice.getrandbits(32), roams=dice.random() < 0.5)
                for temper in ("patient", "forgetful")
            ),
        ],
        writes=[
            replace(write, after=write.after + dice.uniform(0.0, 0.4), partition=dice.randrange(partitions))
            for write in plan.writes * _OVER_AGAIN
        ],
        writes_end_with_strikes=True,
        strikes=strikes,
        workers=workers,
        brokers=brokers,
        zookeepers=zookeepers,
    )


def large_plan(seed: int, *, messages: int = 60_000) -> Plan:
    """Three of each, six partitions, twelve clients, and every kind of strike upon a worker, some of them twice."""
    dice = random.Random(seed)
    partitions, size = 6, 100
    tempers = [*TEMPERS[:1] * 4, "riding", "slow", "patient", "nacking", "extending", "dropping", "twice", "forgetful"]
    do: Callable[..., Strike] = lambda trouble, lasts=0.0: _strike(dice, trouble, (lasts, lasts))  # noqa: E731
    return Plan(
        seed=seed,
        partitions=partitions,
        writes=[
            Write(after=0.15, partition=n % partitions, count=size) for n in range(messages // size)
        ],
        hands=[
            Hand(name=f"{temper}-{n}", temper=temper, seed=dice.getrandbits(32), roams=n % 2 == 0)
            for n, temper in enumerate(tempers)
        ],
        strikes=[
            do("worker added"), do("kill -9", 1.0), do("SIGSTOP", 6.0), do("worker removed"), do("SIGTERM", 1.0),
            do("SIGSTOP", 1.0), do("kill -9"), do("rolling restart"), do("SIGSTOP", 5.0), do("kill -9", 0.5),
        ],
        workers=3,
        brokers=3,
        zookeepers=3,
    )  # fmt: skip


def _strike(dice: random.Random, trouble: Trouble, lasts: tuple[float, float]) -> Strike:
    return Strike(
        after=round(dice.uniform(*_BETWEEN), 2),
        trouble=trouble,
        lasts=round(dice.uniform(*lasts), 2),
        which=dice.randrange(60),
    )
