"""How messages are shared out between groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanout_app.core.shares import CREDIT, Shares, present

Weights = Mapping[str, int]


def shared(weights: Weights, messages: int, *, at_once: int = 1, waiting: Collection[str] = ()) -> list[str]:
    """Who is handed each of so many messages, where all groups wait (or these) and ask for so many ``at_once``."""
    shares = Shares()
    shares.use(weights)
    return hand_out(shares, messages, at_once=at_once, waiting=waiting or weights.keys())


def hand_out(shares: Shares, messages: int, *, waiting: Collection[str], at_once: int = 1) -> list[str]:
    served: list[str] = []
    while len(served) < messages and (turns := shares.turns(waiting)):
        group = turns[0]
        count = min(shares.most(group, at_once), messages - len(served))
        shares.served(group, count, waiting)
        served += [group] * count
    return served


@pytest.mark.parametrize(("stable", "canary"), [(95, 5), (5, 95), (1, 1), (999_999, 1), (70, 30)])
@pytest.mark.parametrize("at_once", [1, 7, 100, 1000])
def test_a_canary_has_its_share_of_any_stretch(stable: int, canary: int, at_once: int) -> None:
    weights = {"stable": stable, "canary": canary}
    served = shared(weights, 10_000, at_once=at_once)
    total = stable + canary
    had = 0
    for count, group in enumerate(served, 1):
        had += group == "canary"
        # No more ahead than one message, and no more behind than what the rest takes at once.
        assert -2 - at_once < had - count * canary / total < 1
    assert len(served) == 10_000


def test_shares_are_even_within_a_round() -> None:
    assert "".join(group[0] for group in shared({"stable": 3, "canary": 1}, 8)) == "sscssscs"


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("ABCD"), st.integers(1, 1000), min_size=1),
    st.integers(1, 1000),
    st.integers(1, 50),
)
def test_each_of_several_has_its_share(others: dict[str, int], stable: int, at_once: int) -> None:
    weights = {**others, "stable": stable}
    served = Counter(shared(weights, 2000, at_once=at_once))
    total = sum(weights.values())
    for group, weight in others.items():
        assert abs(served[group] - 2000 * weight / total) <= 1 + at_once * len(weights)


def test_nobody_takes_what_is_due_to_stable() -> None:
    shares = Shares()
    shares.use({"stable": 95, "canary": 5})
    assert hand_out(shares, 100, waiting=["canary"]) == []
    assert hand_out(shares, 10, waiting=["stable"]) == ["stable"] * 10
    assert hand_out(shares, 100, waiting=["canary"]) == ["canary"]


def test_stable_takes_what_is_due_to_others_who_are_owed_it() -> None:
    shares = Shares()
    shares.use({"stable": 50, "canary": 50})
    assert hand_out(shares, 40, waiting=["stable"]) == ["stable"] * 40
    assert shares.most("canary", 1000) == 21
    both = Counter(hand_out(shares, 60, waiting=["stable", "canary"]))
    assert both == {"canary": 50, "stable": 10}


def test_who_takes_less_for_long_is_not_given_all_of_it_at_once() -> None:
    shares = Shares()
    shares.use({"stable": 50, "canary": 50})
    hand_out(shares, 100_000, waiting=["stable"])
    # While it is given those, it earns half as many again.
    assert Counter(hand_out(shares, 1000, waiting=["stable", "canary"]))["canary"] in range(499 + CREDIT, 502 + CREDIT)


def test_what_reached_nobody_is_owed_still() -> None:
    shares = Shares()
    shares.use({"stable": 95, "canary": 5})
    served = hand_out(shares, 10_000, waiting=["stable", "canary"])
    shares.came_back("canary", served.count("canary"), shares.round)
    # 500 are owed to it, of 500 that nobody has had.
    assert shares.most("canary", 1000) == 475


@pytest.mark.parametrize("weights", [{"stable": 99, "canary": 1}, {"stable": 1}])
def test_what_comes_back_of_earlier_weights_is_owed_to_nobody(weights: dict[str, int]) -> None:
    """A canary that dies as its weight is lowered would be handed at once what it has not read."""
    shares = Shares()
    shares.use({"stable": 50, "canary": 50})
    served = hand_out(shares, 1000, waiting=["stable", "canary"])
    earlier = shares.round
    shares.use(weights)
    shares.came_back("canary", served.count("canary"), earlier)
    assert "canary" not in hand_out(shares, 50, waiting=["stable", "canary"])


def test_where_stable_has_no_share_each_waits_for_its_turn() -> None:
    weights = {"A": 2, "B": 1}
    assert Counter(shared(weights, 300)) == {"A": 200, "B": 100}
    assert shared(weights, 300, waiting=["B"]) == []
    assert shared({"A": 7}, 3, at_once=3) == ["A"] * 3


def test_other_weights_begin_a_new_round_and_the_same_ones_do_not() -> None:
    shares = Shares()
    shares.use({"stable": 1, "canary": 1})
    shares.served("stable", 50, ["canary"])
    shares.use({"stable": 1, "canary": 1})
    assert shares.turns(["canary"]) == ["canary"]
    shares.use({"stable": 95, "canary": 5})
    assert shares.turns(["canary"]) == []


@pytest.mark.parametrize(
    ("weights", "alive", "counts"),
    [
        ({"stable": 95, "canary": 5}, ["stable", "canary"], {"stable": 95, "canary": 5}),
        ({"stable": 95, "canary": 5}, ["stable"], {"stable": 100}),
        ({"stable": 95, "canary": 5}, ["canary"], {"stable": 95, "canary": 5}),
        ({"stable": 95, "canary": 5}, [], {"stable": 1}),
        ({"stable": 0, "canary": 100}, ["stable", "canary"], {"canary": 100}),
        ({"stable": 0, "canary": 100}, ["stable"], {"stable": 100}),
        ({"canary": 100}, ["other"], {"stable": 1}),
        ({"stable": 50, "A": 30, "B": 20}, ["stable", "A"], {"stable": 70, "A": 30}),
        ({"A": 30, "B": 20}, ["A"], {"stable": 20, "A": 30}),
        ({"stable": 100, "canary": 0}, ["canary"], {"stable": 1}),
        ({"stable": 0, "canary": 0}, ["stable", "canary"], {}),
        ({}, ["stable"], {}),
    ],
)
def test_a_share_goes_over_only_to_stable(weights: Weights, alive: Collection[str], counts: Weights) -> None:
    assert present(weights, alive) == counts
