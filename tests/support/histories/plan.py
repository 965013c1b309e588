"""The plan of one history, from a seed: what is written, who the clients are, and what is done to workers and servers.

The same seed gives the same plan; what comes of it depends on the machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from support.histories.events import Trouble

#: Seconds. A session of 3 s, as `support.workers` starts them, outlives the short stop and not the long one.
_SHORT_STOP = (0.2, 1.2)
_LONG_STOP = (4.0, 5.5)
_WITHOUT_WORKER = (0.0, 1.5)
_WITHOUT_BROKER = (0.3, 2.0)
#: Longer than a settle may wait.
_HUNG_BROKER = (4.0, 9.0)
_BETWEEN_TROUBLES = (0.8, 2.5)

TEMPERS = (
    "fast", "fast", "riding", "slow", "silent", "nacking", "extending", "dropping", "late", "twice", "careless",
    "rejecting", "borrowing", "elsewhere",
)  # fmt: skip


class Write(Struct, frozen=True, kw_only=True):
    """Messages to be produced one after another. ``end`` is that of their transaction, if they are in one."""

    after: float
    partition: int
    count: int
    #: Bytes of each value.
    size: int = 20
    end: str = ""


class Hand(Struct, frozen=True, kw_only=True):
    """One client: its name, its temper, and the seed of what it decides."""

    name: str
    temper: str
    seed: int
    #: It asks another worker each time, and not its own one for as long as that is there.
    roams: bool = False
    #: Which of those that are there is its own one; none: any.
    home: int | None = None
    #: Empty: it names none.
    group: str = ""


class Strike(Struct, frozen=True, kw_only=True):
    """Something done to a worker, a server, the network or the topic."""

    #: Seconds after the one before was over; with ``beside``, after that began: both go on at once.
    after: float
    trouble: Trouble
    lasts: float = 0.0
    #: Which of those that are there.
    which: int = 0
    #: Of a cut: what does not get through is what the worker sends, what is sent to it, or both.
    way: Literal["both", "from it", "to it"] = "both"
    beside: bool = False
    #: The shares that groups have afterwards; by key, if not by message.
    weights: dict[str, int] = {}
    by_key: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    seed: int
    partitions: int
    writes: list[Write]
    hands: list[Hand]
    strikes: list[Strike]
    #: How many there are at the beginning.
    workers: int = 1
    #: The first worker may be paused or cut off, but is neither ended nor restarted: its memory can be followed.
    spares_first: bool = False
    brokers: int = 1
    #: None: the workers are told of none.
    zookeepers: int = 0
    #: Nothing more is written after the last strike, whatever is left: so there is work for as long as that takes.
    writes_end_with_strikes: bool = False
    #: Until so many messages are in the topic it is written on all the same: servers that are away take none.
    at_least: int = 0
    #: Seconds between the last strike, or the start, and the drain.
    quiet: float = 1.0
    #: The topic keeps the latest message of each key, and loses others while they are worked off.
    compacted: bool = False
    #: As the workers' options say.
    delivery: Literal["balance", "broadcast"] = "balance"
    order: Literal["none", "key"] = "none"
    client_ttl_ms: int = 10_000
    #: The shares that groups have at the beginning; none: nobody sets any, and nobody asks for them.
    weights: dict[str, int] = {}
    by_key: bool = False
    #: Every so many-th message has no key; 0: all have one.
    keyless: int = 0
    #: Faults of `support.faults` to build into the worker.
    faults: list[str] = []


def plan_of(seed: int) -> Plan:
    """Everything at random: two to three strikes of any kind."""
    dice = random.Random(seed)
    partitions = dice.randint(3, 4)
    writes = [_write(dice, partitions) for _ in range(dice.randint(60, 110))]
    tempers = ["fast", *(dice.choice(TEMPERS) for _ in range(dice.randint(5, 8)))]
    hands = [Hand(name=f"{temper}-{n}", temper=temper, seed=dice.getrandbits(32)) for n, temper in enumerate(tempers)]
    strikes: list[Strike] = []
    while len(strikes) < 2 or (len(strikes) < 3 and dice.random() < 0.5):
        one = dice.choice(_STRIKES)(dice)
        # The restart of a broker takes as long as two of anything else.
        if one.trouble != "broker killed" or all(other.trouble != "broker killed" for other in strikes):
            strikes.append(one)
    return Plan(seed=seed, partitions=partitions, writes=writes, hands=hands, strikes=strikes)


def _write(dice: random.Random, partitions: int) -> Write:
    return Write(
        after=dice.choice((0.0, 0.0, 0.05, 0.2, dice.uniform(0.0, 0.3))),
        partition=dice.randrange(partitions),
        count=dice.choice((1, 1, 3, 10, dice.randint(1, 60))),
        end=dice.choices(("", "commit", "abort"), weights=(10, 1, 1))[0],
    )


def _strike(trouble: Trouble, lasts: tuple[float, float]) -> Callable[[random.Random], Strike]:
    return lambda dice: Strike(
        after=round(dice.uniform(*_BETWEEN_TROUBLES), 2), trouble=trouble, lasts=round(dice.uniform(*lasts), 2)
    )


_STRIKES = (
    _strike("kill -9", _WITHOUT_WORKER),
    _strike("kill -9", _WITHOUT_WORKER),
    _strike("SIGTERM", _WITHOUT_WORKER),
    _strike("SIGSTOP", _SHORT_STOP),
    _strike("SIGSTOP", _LONG_STOP),
    _strike("broker killed", _WITHOUT_BROKER),
    _strike("broker paused", _WITHOUT_BROKER),
    _strike("broker paused", _HUNG_BROKER),
)
