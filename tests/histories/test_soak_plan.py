"""Plans of long histories: every kind of strike, and never more down than the rest can bear."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise

import pytest

from support.histories import soak_plan
from support.histories.events import Trouble
from support.histories.plan import Plan, Strike
from support.histories.soak_plan import ALL_KINDS, ERA_CHANGES, OF_SHARES, PARTITIONS, RATE, STOPS_ALL

#: Most tests look at the same plans.
soak_plan_of = cache(soak_plan.soak_plan_of)

SEEDS = range(15)
_ENDS_ONE: frozenset[Trouble] = frozenset({"kill -9", "SIGTERM", "worker removed"})
_BROKERS: frozenset[Trouble] = frozenset({"broker killed", "broker paused", "broker disk full", "all brokers killed"})
_ZOOKEEPERS: frozenset[Trouble] = frozenset({"zookeeper killed", "zookeeper paused", "all zookeepers killed"})


def _kinds(plan: Plan) -> Counter[Trouble]:
    return Counter(strike.trouble for strike in plan.strikes)


def _together(plan: Plan) -> list[tuple[Strike, Strike]]:
    return [(first, second) for first, second in pairwise(plan.strikes) if second.beside]


def test_the_same_seed_gives_the_same_plan() -> None:
    made = soak_plan.soak_plan_of
    assert made(7, minutes=3) == made(7, minutes=3) != made(8, minutes=3)


@pytest.mark.parametrize("seed", SEEDS)
def test_twenty_minutes_have_every_kind_and_at_least_forty_strikes(seed: int) -> None:
    plan = soak_plan_of(seed, minutes=20)
    assert _kinds(plan).keys() == ALL_KINDS
    assert 40 <= len(plan.strikes) <= 60
    assert max(strike.lasts for strike in plan.strikes if strike.trouble == "all brokers killed") == 30.0


@pytest.mark.parametrize("seed", SEEDS)
def test_three_minutes_have_six_to_nine_strikes_of_several_kinds(seed: int) -> None:
    plan = soak_plan_of(seed, minutes=3)
    assert 6 <= len(plan.strikes) <= 9
    assert len(_kinds(plan)) >= 5


@pytest.mark.parametrize("minutes", [1, 3, 20])
@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_about_as_long_as_it_is_asked_to_be(seed: int, minutes: int) -> None:
    strikes = soak_plan_of(seed, minutes=minutes).strikes
    calm = sum(strike.after for strike in strikes if not strike.beside)
    struck = sum(strike.lasts for strike in strikes if not strike.beside)
    # The rest is what servers and workers take to come back.
    assert 0.4 * minutes * 60 <= calm + struck <= 1.1 * minutes * 60


@pytest.mark.parametrize("seed", SEEDS)
def test_eras_change_at_most_once_in_a_short_run_and_last(seed: int) -> None:
    changes = [n for n, strike in enumerate(soak_plan_of(seed, minutes=3).strikes) if strike.trouble in ERA_CHANGES]
    assert changes in ([], [len(soak_plan_of(seed, minutes=3).strikes) - 1])


@pytest.mark.parametrize("seed", SEEDS)
def test_each_change_of_era_is_made_once_in_a_long_run_after_half_of_it(seed: int) -> None:
    plan = soak_plan_of(seed, minutes=20)
    changes = [n for n, strike in enumerate(plan.strikes) if strike.trouble in ERA_CHANGES]
    assert len(changes) == len(ERA_CHANGES)
    assert min(changes) >= 0.4 * len(plan.strikes)
    # All workers are stopped for these.
    assert {strike.trouble for strike in plan.strikes[-2:]} == STOPS_ALL


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_two_workers_at_least_are_there_and_as_many_at_the_end_as_at_the_beginning(seed: int, workers: int) -> None:
    there = [workers]
    for strike in soak_plan_of(seed, minutes=20, workers=workers).strikes:
        there.append(there[-1] + {"worker added": 1, "worker removed": -1}.get(strike.trouble, 0))
    assert min(there) >= 2
    assert there[-1] == workers


@pytest.mark.parametrize("seed", SEEDS)
def test_two_strikes_at_once_have_targets_of_their_own(seed: int) -> None:
    for first, second in _together(soak_plan_of(seed, minutes=20)):
        troubles = {first.trouble, second.trouble}
        assert not troubles & (ERA_CHANGES | {"partitions added", "rolling restart", "worker removed", "worker added"})
        assert "all brokers killed" not in troubles
        # No majority is lost but by the kinds that say so.
        assert not troubles <= _BROKERS
        assert not troubles <= _ZOOKEEPERS
        if not troubles & (_BROKERS | _ZOOKEEPERS):
            # The first of the workers is not ended by any strike; of those that are there the second is another one.
            assert first.trouble not in _ENDS_ONE
            assert (first.which, second.which) == (0, 1)
        if troubles & _ENDS_ONE:
            assert "all zookeepers killed" not in troubles


def test_no_more_than_two_strikes_go_on_at_once() -> None:
    for seed in SEEDS:
        strikes = soak_plan_of(seed, minutes=20).strikes
        assert not strikes[0].beside
        assert not any(one.beside and other.beside for one, other in pairwise(strikes))


def test_some_strikes_come_without_calm_and_some_beside_another() -> None:
    strikes = [strike for seed in SEEDS for strike in soak_plan_of(seed, minutes=3).strikes]
    hurried = sum(strike.after < 2.0 and not strike.beside for strike in strikes)
    beside = sum(strike.beside for strike in strikes)
    assert 0.05 < hurried / len(strikes) < 0.25
    assert 0.05 < beside / len(strikes) < 0.25


def test_some_short_runs_have_a_compacted_topic_and_no_long_one_has() -> None:
    assert 0 < sum(soak_plan_of(seed, minutes=3).compacted for seed in SEEDS) < len(SEEDS) / 2
    assert not any(soak_plan_of(seed, minutes=20).compacted for seed in SEEDS)


def test_shares_are_changed_and_leaders_struck_where_groups_have_any() -> None:
    for seed in SEEDS:
        assert _kinds(soak_plan_of(seed, minutes=3, canary=True)).keys() & OF_SHARES
    plan = soak_plan_of(1, minutes=20, canary=True)
    assert _kinds(plan).keys() == ALL_KINDS | OF_SHARES
    assert {hand.group for hand in plan.hands} == {"", "canary", "other"}
    assert plan.weights
    for strike in plan.strikes:
        assert bool(strike.weights) == (strike.trouble in OF_SHARES)
        # Nobody would be handed anything.
        assert not strike.weights or any(strike.weights.values())


def test_a_soak_of_broadcast_has_several_groups_and_no_shares() -> None:
    plan = soak_plan_of(1, minutes=3, delivery="broadcast")
    assert not plan.weights
    assert not _kinds(plan).keys() & OF_SHARES
    assert len({hand.group or hand.name for hand in plan.hands}) == 4


def test_what_is_asked_for_besides_changes_no_strike_of_a_seed() -> None:
    for seed in SEEDS:
        strikes = soak_plan_of(seed, minutes=3).strikes
        assert soak_plan_of(seed, minutes=3, order="key").strikes == strikes
        assert soak_plan_of(seed, minutes=3, delivery="broadcast").strikes == strikes


def test_what_a_world_cannot_do_is_not_planned() -> None:
    few: frozenset[Trouble] = frozenset({"kill -9", "broker paused"})
    assert _kinds(soak_plan_of(1, minutes=20, kinds=few)).keys() == few
    lonely = _kinds(soak_plan_of(1, minutes=20, brokers=1, zookeepers=0))
    assert not lonely.keys() & (_ZOOKEEPERS | {"cut from zookeepers", "broker killed", "broker disk full"})
    assert "all brokers killed" in lonely


def test_all_partitions_get_as_many_messages_all_the_time_and_every_worker_has_a_fast_client() -> None:
    plan = soak_plan_of(1, minutes=3)
    written = Counter[int]()
    for write in plan.writes:
        written[write.partition] += write.count
    assert written.keys() == set(range(PARTITIONS))
    assert max(written.values()) - min(written.values()) <= max(write.count for write in plan.writes)
    seconds = sum(write.after for write in plan.writes)
    assert sum(written.values()) / seconds == pytest.approx(RATE)
    # Whatever takes longer than estimated, there is something to be written.
    assert seconds >= 1.5 * 3 * 60
    assert {hand.home for hand in plan.hands if hand.temper == "fast" and hand.home is not None} == {0, 1, 2}
    assert plan.spares_first
