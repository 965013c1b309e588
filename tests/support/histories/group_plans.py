"""Plans of histories with groups, which share by weight or are handed everything each, and with keys kept in order."""

from __future__ import annotations

import random
from collections.abc import Sequence

from msgspec.structs import replace

from support.histories.plan import Hand, Plan, Strike, Write

#: What weights may be changed to; groups that are not named have none.
WEIGHTS: tuple[dict[str, int], ...] = (
    {"stable": 80, "canary": 20},
    {"stable": 50, "canary": 50},
    {"stable": 95, "canary": 5},
    {"stable": 100, "canary": 0},
    {"stable": 0, "canary": 100},
    {"stable": 60, "canary": 20, "other": 20},
)
FIRST = WEIGHTS[0]
#: The clients of two groups beside those of the baseline; somebody fast among the first of them.
_CANARIES = ("fast", "fast", "slow", "nacking", "silent")
_OTHERS = ("fast", "late")
#: Of three groups that are handed everything, one of which comes and goes.
_BROADCAST = {
    "first": ("fast", "fast", "slow", "nacking", "silent"),
    "second": ("riding", "late", "extending"),
    "third": ("coming",),
}
_PARTITIONS = 4
_WRITE_EVERY = 0.05
_COUNT = 3
#: Of eleven messages one, so that it is not always the same keys that are without.
KEYLESS = 11


def canary_hands(dice: random.Random) -> list[Hand]:
    """Those of the groups beside the baseline."""
    return [
        Hand(name=f"{group}-{temper}-{n}", temper=temper, seed=dice.getrandbits(32), roams=True, group=group)
        for group, tempers in (("canary", _CANARIES), ("other", _OTHERS))
        for n, temper in enumerate(tempers)
    ]


def broadcast_hands(dice: random.Random) -> list[Hand]:
    """Those of all groups, and one client that is a group of its own."""
    grouped = [
        Hand(name=f"{group}-{temper}-{n}", temper=temper, seed=dice.getrandbits(32), roams=True, group=group)
        for group, tempers in _BROADCAST.items()
        for n, temper in enumerate(tempers)
    ]
    return [*grouped, Hand(name="alone", temper="fast", seed=dice.getrandbits(32), roams=True)]


def with_groups(plan: Plan, *, canary: bool) -> Plan:
    """The same with clients of groups, as its delivery and ``canary`` want it, some keyless where it keeps order."""
    dice = random.Random(f"groups {plan.seed}")
    if plan.order == "key" and not plan.compacted:
        plan = replace(plan, keyless=KEYLESS)
    if plan.delivery == "broadcast":
        return replace(plan, hands=broadcast_hands(dice), client_ttl_ms=8_000)
    if not canary:
        return plan
    strikes = [
        replace(strike, weights=dice.choice(WEIGHTS), by_key=dice.random() < 0.5)
        if strike.trouble in ("weights changed", "canary fails", "leader killed", "leader paused")
        else strike
        for strike in plan.strikes
    ]
    hands = [*plan.hands, *canary_hands(dice)]
    return replace(plan, hands=hands, strikes=strikes, weights=FIRST, by_key=dice.random() < 0.5)


def canary_plan(seed: int, *strikes: Strike, by_key: bool = False, **more: object) -> Plan:
    dice = random.Random(f"canary {seed}")
    hands = [*_hands(dice, ("fast", "fast", "slow", "nacking", "elsewhere")), *canary_hands(dice)]
    return _plan(seed, hands, strikes, weights=FIRST, by_key=by_key, **more)


def ordered_plan(seed: int, *strikes: Strike, **more: object) -> Plan:
    dice = random.Random(f"order {seed}")
    tempers = ("fast", "fast", "riding", "slow", "nacking", "silent", "late", "twice", "elsewhere")
    return _plan(seed, _hands(dice, tempers), strikes, order="key", keyless=KEYLESS, **more)


def broadcast_plan(seed: int, *strikes: Strike, **more: object) -> Plan:
    dice = random.Random(f"broadcast {seed}")
    return _plan(seed, broadcast_hands(dice), strikes, delivery="broadcast", client_ttl_ms=8_000, **more)


def _hands(dice: random.Random, tempers: Sequence[str]) -> list[Hand]:
    return [
        Hand(name=f"{temper}-{n}", temper=temper, seed=dice.getrandbits(32), roams=True)
        for n, temper in enumerate(tempers)
    ]


def _plan(seed: int, hands: list[Hand], strikes: Sequence[Strike], **more: object) -> Plan:
    # More than any of them takes: writing ends with the strikes.
    writes = [Write(after=_WRITE_EVERY, partition=n % _PARTITIONS, count=_COUNT) for n in range(3000)]
    usual = {"workers": 2, "partitions": _PARTITIONS, "writes_end_with_strikes": True, "quiet": 1.0}
    return Plan(seed=seed, hands=hands, writes=writes, strikes=list(strikes), **{**usual, **more})  # type: ignore[arg-type]
