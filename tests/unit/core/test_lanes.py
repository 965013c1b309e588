"""Which group a message is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanout_app.core.lanes import Lanes
from support.messages import FakeMessage

Weights = Mapping[str, int]
KEYS = [b"key %d" % number for number in range(10_000)]
MAYBE = st.dictionaries(st.sampled_from(("stable", "canary", "A", "B")), st.integers(0, 1000), min_size=1)


def owners(weights: Weights) -> list[str | None]:
    lanes = Lanes(weights, weights, "key")
    return [lanes.group_of(key) for key in KEYS]


@pytest.mark.parametrize(
    "weights",
    [
        {"stable": 95, "canary": 5},
        {"canary": 5, "stable": 95},
        {"stable": 1, "canary": 99},
        {"stable": 60, "A": 30, "B": 10},
        {"stable": 500_000, "canary": 500_000, "A": 1_000_000, "none": 0},
    ],
)
def test_each_group_has_its_share_of_the_keys(weights: Weights) -> None:
    had = Counter(owners(weights))
    for group, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(had[group] / len(KEYS) - share) < (0.01 if share else 0.0000001)


@settings(deadline=None, max_examples=50)
@given(MAYBE, st.sampled_from(("stable", "canary", "A", "B")), st.integers(1, 1000))
def test_where_a_weight_is_raised_keys_go_over_to_that_group_only(before: Weights, group: str, more: int) -> None:
    after = {**before, group: before.get(group, 0) + more}
    lanes = Lanes(before, (), "key"), Lanes(after, (), "key")
    for key in KEYS[:200]:
        had, has = (one.group_of(key) for one in lanes)
        assert has in (had, group)


def test_keys_that_lie_close_together_are_shared_out_as_others_are() -> None:
    lanes = Lanes({"stable": 95, "canary": 5}, (), "key")
    for keys in ([b"%d" % n for n in range(10_000)], [n.to_bytes(8) for n in range(10_000)]):
        assert abs(sum(lanes.group_of(key) == "canary" for key in keys) - 500) < 100


def test_every_worker_finds_the_same_group_and_so_does_a_later_version() -> None:
    lanes = Lanes({"stable": 50, "canary": 50}, (), "key")
    assert "".join((lanes.group_of(b"%d" % n) or "")[0] for n in range(16)) == "ccssscccscsscccs"


def test_a_key_whose_group_is_away_is_for_stable_and_one_without_a_key_for_whose_turn_it_is() -> None:
    weights = {"stable": 50, "canary": 50}
    both, away = Lanes(weights, weights, "key"), Lanes(weights, ("stable",), "key")
    for key in KEYS[:100]:
        message = FakeMessage(1, key=key)
        assert both.of(message) == both.group_of(key)
        assert away.of(message) == "stable"
    assert Counter(both.of(FakeMessage(1, key=key)) for key in KEYS[:100]).keys() == {"stable", "canary"}
    assert both.of(FakeMessage(1, key=None)) is None
    assert both.of(FakeMessage(1, key=b"")) is not None, "an empty key is a key"


def test_by_message_there_is_no_lane_but_for_what_another_group_has_failed() -> None:
    lanes = Lanes({"stable": 50, "canary": 50}, ("stable", "canary"), "message")
    message = FakeMessage(1, key=b"key")
    assert lanes.of(message) is None
    assert lanes.of_failed(message, "canary") == "stable"
    assert lanes.of_failed(message, "stable") is None
    assert lanes.of_failed(message, "") is None
    assert Lanes({"canary": 1}, ("canary",)).of_failed(message, "canary") is None, "there is no share of stable's"


def test_by_key_what_stable_has_failed_is_its_groups_again() -> None:
    weights = {"stable": 0, "canary": 50, "A": 50}
    lanes = Lanes(weights, ("canary", "A"), "key")
    key = next(key for key in KEYS if lanes.group_of(key) == "canary")
    assert lanes.of_failed(FakeMessage(1, key=key), "stable") == "canary"
    assert lanes.of_failed(FakeMessage(1, key=key), "A") == "canary"


@pytest.mark.parametrize("by", ["message", "key"])
def test_without_any_weight_nothing_has_a_lane(by: str) -> None:
    lanes = Lanes({"stable": 0}, (), "key" if by == "key" else "message")
    assert lanes.of(FakeMessage(1, key=b"key")) is None
    assert lanes.group_of(b"key") is None
