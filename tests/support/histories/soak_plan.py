"""The plan of a long history under faults, from a seed and a length: every kind of trouble, again and again.

Most strikes are followed by some seconds of calm, so that the stall of each can be measured; some come in the middle of
what the one before has left behind, and some go on beside another. The lengths are estimates: how long a server takes
to come back is the machine's business, and all strikes are made however long that takes.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from typing import Literal, NamedTuple, get_args

from msgspec.structs import replace

from support.histories.events import Trouble
from support.histories.group_plans import with_groups
from support.histories.plan import TEMPERS, Hand, Plan, Strike, Write

#: These need groups that have shares, and whoever leads to be asked for them.
OF_SHARES: frozenset[Trouble] = frozenset({"weights changed", "canary fails", "leader killed", "leader paused"})
ALL_KINDS: frozenset[Trouble] = frozenset(get_args(Trouble)) - OF_SHARES
#: Messages a second, and of how many partitions: twenty minutes of it can still be judged.
RATE = 100
PARTITIONS = 6

_CALM = (5.0, 9.0)
_AT_ONCE = (0.2, 1.5)
_BESIDE_AFTER = (0.2, 2.0)
#: How often a strike comes without calm before it, and how often it has another one beside it.
_HURRIED = 0.15
_ACCOMPANIED = 0.25
#: How often a strike has one upon the shares of groups behind it, where these have any.
_OF_SHARES = 0.4
#: How many of the short runs have a compacted topic.
_COMPACTED = 0.2
#: Strikes a minute, whatever they are estimated to take.
_FEWEST, _MOST = 2.0, 3.0
#: Seconds: from the start to the first strike, and what an unhurried machine may need more than estimated.
_BEFORE = 8.0
_WRITES_FOR = 2.0
_WRITE_EVERY = 0.2
#: Runs of at least so many minutes have changes of era in the middle, too, and an outage that is as long as they come.
_LONG = 10.0
_OUTAGE = (30.0, 30.0)

_Scope = Literal["worker", "workers", "brokers", "zookeepers", "topic", "shares"]


class _Kind(NamedTuple):
    trouble: Trouble
    scope: _Scope
    #: Seconds, between which it is chosen.
    lasts: tuple[float, float]
    #: What it takes about until all is as before.
    heals: float


#: A session of the group lasts 3 s, as `support.workers` starts workers, one of ZooKeeper 6 s: what is shorter and what
#: is longer than that are two kinds.
_KINDS = (
    _Kind("kill -9", "worker", (0.0, 2.0), 7.0),
    _Kind("SIGTERM", "worker", (0.0, 2.0), 6.0),
    _Kind("SIGSTOP", "worker", (0.3, 1.5), 0.5),
    _Kind("SIGSTOP", "worker", (4.0, 7.0), 2.0),
    _Kind("clock step", "worker", (2.0, 5.0), 0.5),
    _Kind("cut from brokers", "worker", (0.5, 2.0), 1.0),
    _Kind("cut from brokers", "worker", (4.0, 9.0), 3.0),
    _Kind("cut from zookeepers", "worker", (2.0, 4.0), 0.5),
    _Kind("cut from zookeepers", "worker", (7.0, 10.0), 1.0),
    _Kind("cut from workers", "worker", (1.0, 8.0), 2.0),
    _Kind("cut from clients", "worker", (1.0, 6.0), 1.0),
    _Kind("cut off", "worker", (1.0, 9.0), 3.0),
    _Kind("slow link", "worker", (4.0, 10.0), 1.0),
    _Kind("delayed link", "worker", (4.0, 10.0), 1.0),
    # With one that is added before it or after it.
    _Kind("worker removed", "workers", (0.0, 0.0), 6.0),
    _Kind("rolling restart", "workers", (0.0, 0.0), 12.0),
    _Kind("broker killed", "brokers", (0.5, 6.0), 8.0),
    _Kind("broker paused", "brokers", (0.5, 2.0), 0.5),
    _Kind("broker paused", "brokers", (4.0, 10.0), 2.0),
    _Kind("all brokers killed", "brokers", (2.0, 8.0), 12.0),
    _Kind("broker disk full", "brokers", (3.0, 8.0), 8.0),
    _Kind("zookeeper killed", "zookeepers", (1.0, 8.0), 4.0),
    _Kind("zookeeper paused", "zookeepers", (1.0, 10.0), 1.0),
    _Kind("all zookeepers killed", "zookeepers", (2.0, 12.0), 8.0),
    _Kind("partitions added", "topic", (0.0, 0.0), 8.0),
    _Kind("retention", "topic", (0.0, 0.0), 3.0),
    _Kind("operator's reset", "topic", (0.0, 0.0), 8.0),
    _Kind("topic made anew", "topic", (0.0, 0.0), 10.0),
)
#: Where groups have shares.
_KINDS_OF_SHARES = (
    _Kind("weights changed", "shares", (0.0, 0.0), 3.0),
    _Kind("canary fails", "shares", (0.0, 0.0), 8.0),
    _Kind("leader killed", "workers", (0.0, 2.0), 10.0),
    _Kind("leader paused", "workers", (4.0, 7.0), 5.0),
)
_WORKER_ADDED = _Kind("worker added", "workers", (0.0, 0.0), 4.0)
#: Old messages or old leases mean nothing any more after these: rare, and in a short run the last.
ERA_CHANGES: frozenset[Trouble] = frozenset({"retention", "operator's reset", "topic made anew"})
#: All workers are stopped meanwhile, the spared one too: the last in any run.
STOPS_ALL: frozenset[Trouble] = frozenset({"operator's reset", "topic made anew"})
#: Each needs a majority of what others hurt.
_NEEDS_THREE: frozenset[Trouble] = frozenset({"broker killed", "broker disk full", "zookeeper killed"})
_ENDS_ONE: frozenset[Trouble] = frozenset({"kill -9", "SIGTERM"})
_CUTS: frozenset[Trouble] = frozenset(
    {"cut from brokers", "cut from zookeepers", "cut from workers", "cut from clients", "cut off"}
)


def soak_plan_of(
    seed: int,
    *,
    minutes: float,
    workers: int = 3,
    brokers: int = 3,
    zookeepers: int = 3,
    kinds: Collection[Trouble] = ALL_KINDS | OF_SHARES,
    canary: bool = False,
    delivery: Literal["balance", "broadcast"] = "balance",
    order: Literal["none", "key"] = "none",
) -> Plan:
    """``kinds``: those that the world in which it is to be run can do; ``canary``: groups have shares."""
    dice = random.Random(f"soak {seed}")
    there = (*_KINDS, *(_KINDS_OF_SHARES if canary else ()))
    possible = [kind for kind in there if kind.trouble in kinds and _is_possible(kind, brokers, zookeepers)]
    plan = Plan(
        seed=seed,
        partitions=PARTITIONS,
        writes=trickle(dice, minutes * 60 * _WRITES_FOR),
        hands=all_tempers(dice, workers),
        strikes=_strikes(dice, possible, minutes, workers),
        workers=workers,
        brokers=brokers,
        zookeepers=zookeepers,
        writes_end_with_strikes=True,
        spares_first=True,
        # For as long as the log of the one small disk is short.
        compacted=minutes < _LONG and dice.random() < _COMPACTED,
        quiet=_CALM[0],
        delivery=delivery,
        order=order,
    )
    return with_groups(plan, canary=canary)


def _is_possible(kind: _Kind, brokers: int, zookeepers: int) -> bool:
    if kind.trouble in _NEEDS_THREE and (brokers if kind.scope == "brokers" else zookeepers) < 3:
        return False
    return bool(zookeepers) or not (kind.scope == "zookeepers" or kind.trouble == "cut from zookeepers")


def trickle(dice: random.Random, seconds: float) -> list[Write]:
    """Messages as even over time and partitions as transactions allow."""
    return [
        Write(
            after=_WRITE_EVERY,
            partition=n % PARTITIONS,
            count=int(RATE * _WRITE_EVERY),
            size=dice.choice((20, 20, 20, 400)),
            end=dice.choices(("", "commit", "abort"), weights=(20, 2, 1))[0],
        )
        for n in range(int(seconds / _WRITE_EVERY))
    ]


def all_tempers(dice: random.Random, workers: int) -> list[Hand]:
    """Somebody fast at each worker all the time, so that nothing waits for want of clients; and all tempers."""
    pinned = [
        Hand(name=f"fast-at-{home}", temper="fast", seed=dice.getrandbits(32), home=home) for home in range(workers)
    ]
    mixed = [
        Hand(name=temper, temper=temper, seed=dice.getrandbits(32), roams=dice.random() < 0.5 or temper == "elsewhere")
        for temper in sorted({*TEMPERS, "patient", "forgetful"})
    ]
    return [*pinned, *mixed]


# Strikes -------------------------------------------------------------------------------------------------------------


def _strikes(dice: random.Random, kinds: Sequence[_Kind], minutes: float, workers: int) -> list[Strike]:
    eras = _changes_of_era(dice, kinds, minutes)
    ordinary = [kind for kind in kinds if kind.trouble not in ERA_CHANGES]
    left = minutes * 60 - _BEFORE - sum(_CALM[1] + kind.heals for kind in eras)
    fewest, most = (max(1, round(minutes * each) - len(eras)) for each in (_FEWEST, _MOST))
    units: list[list[Strike]] = []
    count = 0
    for kind in _again_and_again(dice, ordinary):
        if count >= most or (count >= fewest and left <= 0):
            break
        hurried = bool(units) and dice.random() < _HURRIED
        after = _AT_ONCE if hurried else _CALM
        unit = _unit(dice, _for(minutes, kind), after, ordinary, workers)
        if count + len(unit) <= most:
            units.append(unit)
            count += len(unit)
            left -= kind.heals + sum(one.after + (0.0 if one.beside else one.lasts) for one in unit)
    for kind in eras:
        last = minutes < _LONG or kind.trouble in STOPS_ALL
        at = len(units) if last else dice.randint(len(units) // 2, len(units))
        units.insert(at, [_strike(dice, kind, _CALM)])
    return _spread([one for unit in units for one in unit], left)


def _spread(strikes: list[Strike], left: float) -> list[Strike]:
    """Time that is left is more calm."""
    calm = [one for one in strikes if one.after >= _CALM[0]]
    more = max(0.0, left) / max(1, len(calm))
    return [replace(one, after=round(one.after + more, 2)) if one in calm else one for one in strikes]


def _changes_of_era(dice: random.Random, kinds: Sequence[_Kind], minutes: float) -> list[_Kind]:
    """Each once in a long run, one or none in a short one; retention, as the table has it, before the others."""
    eras = [kind for kind in kinds if kind.trouble in ERA_CHANGES]
    if minutes >= _LONG:
        return eras
    return [dice.choice(eras)] if eras and dice.random() < 0.5 else []


def _again_and_again(dice: random.Random, kinds: Sequence[_Kind]) -> Iterator[_Kind]:
    """All of them in an order of chance, then all of them in another; those upon shares come in between, too."""
    of_shares = [kind for kind in kinds if kind.trouble in OF_SHARES]
    while kinds:
        for kind in dice.sample(kinds, len(kinds)):
            yield kind
            if of_shares and dice.random() < _OF_SHARES:
                yield dice.choice(of_shares)


def _for(minutes: float, kind: _Kind) -> _Kind:
    """In a long run the outage is a long one."""
    long = kind.trouble == "all brokers killed" and minutes >= _LONG
    return kind._replace(lasts=_OUTAGE) if long else kind


def _unit(
    dice: random.Random, kind: _Kind, after: tuple[float, float], kinds: Sequence[_Kind], workers: int
) -> list[Strike]:
    """Strikes that belong together: after them as many workers are there as before."""
    strike = _strike(dice, kind, after)
    if kind.trouble == "worker removed":
        added = _strike(dice, _WORKER_ADDED, _CALM)
        # Two at least are there at any time.
        if workers > 2 and dice.random() < 0.5:
            return [strike, added]
        return [replace(added, after=strike.after), replace(strike, after=added.after)]
    others = [other for other in kinds if _go_together(kind, other)]
    if not others or dice.random() >= _ACCOMPANIED:
        return [strike]
    other = dice.choice(others)
    second = replace(_strike(dice, other, _BESIDE_AFTER), beside=True)
    if kind.scope == other.scope:
        # The first of the workers, which is never ended, and another one.
        strike, second = replace(strike, which=0), replace(second, which=1)
    return [strike, second]


def _go_together(first: _Kind, second: _Kind) -> bool:
    """Whether a second strike may be made beside a first one: each has a target of its own, and can be over."""
    troubles = {first.trouble, second.trouble}
    if {first.scope, second.scope} & {"workers", "topic"} or "all brokers killed" in troubles:
        return False
    # A worker is started again when a killed one is to come back, and then needs to reach who coordinates it.
    if troubles & _ENDS_ONE and "all zookeepers killed" in troubles:
        return False
    if first.scope == second.scope:
        return first.scope == "worker" and first.trouble not in _ENDS_ONE
    return True


def _strike(dice: random.Random, kind: _Kind, after: tuple[float, float]) -> Strike:
    return Strike(
        after=round(dice.uniform(*after), 2),
        trouble=kind.trouble,
        lasts=round(dice.uniform(*kind.lasts), 2),
        which=dice.randrange(60),
        way=dice.choice(("both", "from it", "to it")) if kind.trouble in _CUTS else "both",
    )
