"""Three short histories that have every kind of trouble between them: what `bin/test` runs of `bin/soak`.

In each of them groups have shares of the messages, and the keys of one are in order.

Strikes go on beside each other as far as each has a target of its own, and nothing is waited for between them: how long
each keeps messages is what `bin/soak` shows.
"""

from __future__ import annotations

import random
from typing import Literal

from support.histories.events import Trouble
from support.histories.group_plans import FIRST, KEYLESS, WEIGHTS, canary_hands
from support.histories.plan import Plan, Strike
from support.histories.soak_plan import PARTITIONS, all_tempers, trickle
from support.network.network import Way

#: More than any of them takes: writing ends with the strikes.
_WRITES_FOR = 240.0
_AT_LEAST = 1_000


def _at(after: float, trouble: Trouble, lasts: float = 0.0, which: int = 0, way: Way = "both") -> Strike:
    return Strike(after=after, trouble=trouble, lasts=lasts, which=which, way=way)


def _shares(after: float, trouble: Trouble, shares: int, lasts: float = 0.0, *, by_key: bool = False) -> Strike:
    """``shares``: which of `WEIGHTS`."""
    return Strike(after=after, trouble=trouble, lasts=lasts, which=1, weights=WEIGHTS[shares], by_key=by_key)


def _beside(after: float, trouble: Trouble, lasts: float = 0.0, which: int = 1, way: Way = "both") -> Strike:
    return Strike(after=after, trouble=trouble, lasts=lasts, which=which, way=way, beside=True)


def _plan(seed: int, *strikes: Strike, order: Literal["none", "key"] = "none") -> Plan:
    dice = random.Random(f"selection {seed}")
    return Plan(
        seed=seed,
        partitions=PARTITIONS,
        writes=trickle(dice, _WRITES_FOR),
        # Leases that outlast a strike would have to be waited for at the end.
        hands=[
            *(hand for hand in all_tempers(dice, 3) if hand.temper not in ("patient", "forgetful")),
            *canary_hands(dice),
        ],
        weights=FIRST,
        order=order,
        keyless=KEYLESS if order == "key" else 0,
        strikes=list(strikes),
        workers=3,
        brokers=3,
        zookeepers=3,
        spares_first=True,
        writes_end_with_strikes=True,
        at_least=_AT_LEAST,
        quiet=1.0,
    )


SELECTION: dict[str, Plan] = {
    "workers and their network": _plan(
        1,
        _shares(1.5, "weights changed", 1),
        _at(0.0, "cut from brokers", 4.5, way="to it"),
        _beside(0.5, "kill -9"),
        _at(0.5, "cut from zookeepers", 3.0),
        _beside(0.5, "SIGTERM"),
        _at(0.5, "cut off", 2.0),
        _beside(0.5, "slow link", 3.0),
        _at(0.5, "cut from workers", 2.5, way="to it"),
        _beside(0.5, "delayed link", 3.0),
        _at(0.5, "SIGSTOP", 4.0),
        _beside(0.5, "cut from clients", 2.0, way="from it"),
        _at(0.5, "clock step", 1.0),
    ),
    "servers": _plan(
        2,
        _shares(1.5, "canary fails", 5),
        _shares(0.5, "leader killed", 2, 0.5),
        _shares(0.5, "leader paused", 1, 4.0, by_key=True),
        _at(0.5, "broker paused", 5.0, which=1),
        _beside(0.5, "zookeeper paused", 4.0),
        _at(0.5, "broker killed", 1.0, which=2),
        _beside(0.5, "zookeeper killed", 1.0),
        _at(0.5, "broker disk full", 3.0),
        _beside(0.5, "all zookeepers killed", 2.0),
        _at(0.5, "all brokers killed", 2.0),
    ),
    "operators": _plan(
        3,
        _at(1.5, "worker added"),
        _at(0.5, "partitions added"),
        _at(0.5, "worker removed"),
        _at(0.5, "retention"),
        _at(0.5, "rolling restart"),
        _at(0.5, "operator's reset"),
        _at(1.0, "topic made anew"),
        order="key",
    ),
}
